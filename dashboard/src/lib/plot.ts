/** Builds uPlot's options for a chart. No other file knows uPlot's options. */

import type uPlot from "uplot";
import { axisTicks, drawnLines, yRange, type Chart, type ChartLine } from "./chart";
import { bucketTick, paintCells } from "./heatmap";
import type { Mark } from "./marks";
import { latestValue } from "./series";
import { formatClock, formatDay } from "./units";

export interface PlotHandlers {
  /** The window drawn, in seconds since the epoch. */
  getWindow: () => [number, number];
  /** What happened; marked if it lies inside the window. */
  getMarks: () => Mark[];
  onZoom: (window: [number, number] | null) => void;
  onCursor: (index: number | null) => void;
}

export type Palette = (color: string) => string;

/** The lines in painting order: the first line of the chart is painted last, on top. */
function paintOrder(chart: Chart): ChartLine[] {
  return drawnLines(chart).reverse();
}

/** Changes when the plot must be rebuilt, and not when only its values change. */
export function plotShape(chart: Chart): string {
  if (chart.isHeatmap) return JSON.stringify(chart.lines.map((line) => line.name));
  const parts = paintOrder(chart).map(({ name, kind, values }) =>
    kind === "reference" ? [name, latestValue(values)] : [name],
  );
  return JSON.stringify(parts);
}

export function plotData(chart: Chart): uPlot.AlignedData {
  if (chart.isHeatmap) return [chart.times, ...chart.lines.map((line) => line.values)];
  return [chart.times, ...paintOrder(chart).map((line) => line.values)];
}

export function plotOptions(
  chart: Chart,
  size: { width: number; height: number },
  palette: Palette,
  handlers: PlotHandlers,
): uPlot.Options {
  if (chart.isHeatmap) return heatmapOptions(chart, size, palette, handlers);
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
      timeAxis(palette),
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
      draw: [(plot) => drawMarks(plot, handlers.getMarks(), palette)],
    },
  };
}

/** Options for a heatmap: the series draw nothing, a hook paints the cells. */
function heatmapOptions(
  chart: Chart,
  size: { width: number; height: number },
  palette: Palette,
  handlers: PlotHandlers,
): uPlot.Options {
  const numBuckets = Math.max(1, chart.lines.length);
  const step = (chart.times[1] ?? 1) - (chart.times[0] ?? 0);
  const color = palette("series-1");
  return {
    ...size,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    series: [{}, ...chart.lines.map(() => ({ paths: () => null, points: { show: false } }))],
    scales: { x: { time: true, range: () => handlers.getWindow() }, y: { range: [0, numBuckets] } },
    axes: [
      timeAxis(palette),
      {
        ...axisLook(palette),
        size: 58,
        space: 22,
        incrs: [1, 2, 3, 4],
        values: (_plot, ticks) => ticks.map((tick) => bucketTick(chart, tick)),
      },
    ],
    cursor: { ...cursorOptions(handlers), points: { show: false } },
    hooks: {
      setCursor: [(plot) => handlers.onCursor(plot.cursor.idx ?? null)],
      setSelect: [(plot) => zoomToSelection(plot, handlers)],
      draw: [
        (plot) => paintCells(plot, color, step),
        (plot) => drawMarks(plot, handlers.getMarks(), palette),
      ],
    },
  };
}

const STACK_ALPHA = 0.3;
const BINARY_STEPS = Array.from({ length: 44 }, (_, power) => 2 ** power);

function timeAxis(palette: Palette): uPlot.Axis {
  const room = { size: 26, gap: 6, space: timeSpace, incrs: TIME_STEPS };
  return { ...axisLook(palette), ...room, values: timeTicks };
}

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
    // A single point between gaps has no line, so it is drawn as a dot.
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

/** Leaves room for about seven labels with hours, minutes and seconds. */
function timeSpace(_plot: uPlot, _axis: number, _min: number, _max: number, width: number): number {
  return Math.max(56, width / 7);
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const TIME_STEPS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 7].map((days) => days * DAY),
];

function timeTicks(_plot: uPlot, ticks: number[], _axis: number, _space: number, step: number) {
  return ticks.map((tick) => (step >= DAY ? formatDay(tick) : formatClock(tick, step < 60)));
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

/** Draws a dashed vertical line at each mark, with its label where there is room. */
function drawMarks(plot: uPlot, marks: Mark[], palette: Palette): void {
  const { min, max } = plot.scales.x ?? {};
  if (min === undefined || max === undefined) return;
  const { ctx, bbox } = plot;
  let labelEnd = -Infinity;
  ctx.save();
  ctx.font = `${10 * devicePixelRatio}px "Inter Variable", system-ui, sans-serif`;
  ctx.textBaseline = "top";
  for (const { at, label, tone } of marks) {
    if (at <= min || at >= max) continue;
    const color = palette(tone === "bad" ? "bad" : "reference");
    const x = Math.round(plot.valToPos(at, "x", true));
    ctx.strokeStyle = color;
    ctx.fillStyle = palette(tone === "bad" ? "bad-text" : "muted");
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(label).width;
    const gap = 3 * devicePixelRatio;
    // To the left of its line if it would leave the chart.
    const left = x + gap + width > bbox.left + bbox.width ? x - gap - width : x + gap;
    if (left < labelEnd + gap) continue;
    ctx.fillText(label, left, bbox.top);
    labelEnd = left + width;
  }
  ctx.restore();
}

/** Adds an alpha to `#rrggbb`. */
function withAlpha(color: string, alpha: number): string {
  const byte = Math.round(alpha * 255);
  return `${color}${byte.toString(16).padStart(2, "0")}`;
}
