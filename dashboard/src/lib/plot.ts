/** uPlot's options for one of our charts. The only file that knows uPlot's vocabulary. */

import type uPlot from "uplot";
import { axisTicks, drawnLines, yRange, type Chart, type ChartLine } from "./chart";
import { latestValue } from "./series";
import { formatClock } from "./units";

export interface PlotHandlers {
  /** The window drawn, in seconds since the epoch. */
  getWindow: () => [number, number];
  /** When the service's records begin; marked where it lies inside the window. */
  getSince: () => number;
  onZoom: (window: [number, number] | null) => void;
  onCursor: (index: number | null) => void;
}

export type Palette = (color: string) => string;

/** The lines in the order of painting: the first of the chart comes last, on top. */
function paintOrder(chart: Chart): ChartLine[] {
  return drawnLines(chart).reverse();
}

/** Changes when the plot must be built anew, and not when only its values move. */
export function plotShape(chart: Chart): string {
  const parts = paintOrder(chart).map(({ name, kind, values }) =>
    kind === "reference" ? [name, latestValue(values)] : [name],
  );
  return JSON.stringify(parts);
}

export function plotData(chart: Chart): uPlot.AlignedData {
  return [chart.times, ...paintOrder(chart).map((line) => line.values)];
}

export function plotOptions(
  chart: Chart,
  size: { width: number; height: number },
  palette: Palette,
  handlers: PlotHandlers,
): uPlot.Options {
  const lines = paintOrder(chart);
  const lowest = lines.findLastIndex((line) => line.kind === "stack");
  const limits = lines.flatMap(({ kind, values }) =>
    kind === "reference" ? [latestValue(values)] : [],
  );
  return {
    ...size,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    series: [{}, ...lines.map((line, i) => seriesOptions(line, i === lowest, palette))],
    bands: stackBands(lines, palette),
    scales: {
      x: { time: true, range: () => handlers.getWindow() },
      y: { range: (_plot, _min, max: number | null) => yRange(max, limits) },
    },
    axes: [
      { ...axisLook(palette), size: 26, gap: 6, space: 44, values: timeTicks },
      {
        ...axisLook(palette),
        size: 58,
        space: 32,
        ...(chart.unit === "bytes" ? { incrs: BINARY_STEPS } : {}),
        values: (_plot, ticks) => axisTicks(chart.unit, ticks),
      },
    ],
    cursor: cursorOptions(handlers),
    hooks: {
      setCursor: [(plot) => handlers.onCursor(plot.cursor.idx ?? null)],
      setSelect: [(plot) => zoomToSelection(plot, handlers)],
      draw: [(plot) => markSince(plot, handlers.getSince(), palette)],
    },
  };
}

const STACK_ALPHA = 0.3;
const BINARY_STEPS = Array.from({ length: 44 }, (_, power) => 2 ** power);

function axisLook(palette: Palette): uPlot.Axis {
  return {
    stroke: palette("muted"),
    font: '11px "Inter Variable", system-ui, sans-serif',
    gap: 4,
    grid: { stroke: palette("grid"), width: 1 },
    ticks: { show: false },
  };
}

function seriesOptions(line: ChartLine, isLowest: boolean, palette: Palette): uPlot.Series {
  const color = palette(line.color);
  const alpha = line.kind === "area" ? 0.14 : isLowest ? STACK_ALPHA : 0;
  return {
    label: line.name,
    stroke: color,
    width: line.kind === "reference" ? 1 : 1.5,
    dash: line.dash ?? [],
    auto: line.kind !== "reference",
    ...(alpha > 0 ? { fill: withAlpha(color, alpha) } : {}),
    // Between gaps a lone point has no line: draw it as a dot.
    points: { show: false, size: 4, fill: color, filter: lonePoints },
  };
}

/** Fills each stacked line down to the one below it; the lowest fills down to zero itself. */
function stackBands(lines: ChartLine[], palette: Palette): uPlot.Band[] {
  const stack = lines.flatMap((line, i) => (line.kind === "stack" ? [i] : []));
  return stack.slice(1).map((lower, place) => {
    const upper = stack[place] ?? 0;
    const fill = withAlpha(palette(lines[upper]?.color ?? ""), STACK_ALPHA);
    return { series: [upper + 1, lower + 1], fill };
  });
}

function lonePoints(plot: uPlot, seriesIndex: number): number[] {
  const values = plot.data[seriesIndex] ?? [];
  const isKnown = (i: number) => typeof values[i] === "number";
  return Array.from(values, (_, i) => i).filter(
    (i) => isKnown(i) && !isKnown(i - 1) && !isKnown(i + 1),
  );
}

function timeTicks(_plot: uPlot, ticks: number[], _axis: number, _space: number, step: number) {
  return ticks.map((tick) =>
    step >= 86_400
      ? new Date(tick * 1000).toLocaleDateString("en-GB", { weekday: "short", day: "numeric" })
      : formatClock(tick, step < 60),
  );
}

function cursorOptions({ onZoom }: PlotHandlers): uPlot.Cursor {
  return {
    y: false,
    points: { size: 6 },
    drag: { x: true, y: false, setScale: false, dist: 6 },
    sync: { key: "charts", setSeries: false, scales: ["x", null] },
    bind: {
      dblclick: () => () => {
        onZoom(null);
        return null;
      },
    },
  };
}

function zoomToSelection(plot: uPlot, { onZoom }: PlotHandlers): void {
  const { left, width } = plot.select;
  if (width < 6) return;
  onZoom([plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]);
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

/** A dashed upright line where the service started: what is left of it came before. */
function markSince(plot: uPlot, since: number, palette: Palette): void {
  const { min, max } = plot.scales.x ?? {};
  if (min === undefined || max === undefined || since <= min || since >= max) return;
  const { ctx, bbox } = plot;
  const x = Math.round(plot.valToPos(since, "x", true));
  ctx.save();
  ctx.strokeStyle = palette("reference");
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

/** `#rrggbb` with an alpha. */
function withAlpha(color: string, alpha: number): string {
  const byte = Math.round(alpha * 255);
  return `${color}${byte.toString(16).padStart(2, "0")}`;
}
