/** A histogram over time, drawn by uPlot: time on x, buckets on y, darker means more. */

import type uPlot from "uplot";
import type { Panel } from "../api/types";
import type { Chart } from "./chart";
import { maxValue } from "./series";
import { formatSeconds } from "./units";

/** A line per bucket from the lowest to the highest that was hit, named by its bounds. */
export function bucketLines(panel: Panel): Chart["lines"] {
  const isHit = panel.series.map((series) => Boolean(maxValue(series.values)));
  const first = isHit.indexOf(true);
  const last = isHit.lastIndexOf(true);
  if (first < 0) return [];
  return panel.series.slice(first, last + 1).map((series, i) => ({
    name: bucketName(panel.series[first + i - 1]?.name, series.name),
    values: series.values,
    color: "series-1",
    kind: "line",
  }));
}

/** "20 ms to 30 ms", "up to 5 ms", "more than 5 s"; bounds are in seconds, the last is +Inf. */
function bucketName(below: string | undefined, bound: string): string {
  const words = (text: string) => formatSeconds(Number(text));
  if (bound === "+Inf") return `more than ${words(below ?? "0")}`;
  return below === undefined ? `up to ${words(bound)}` : `${words(below)} to ${words(bound)}`;
}

/** The label between two buckets: the bound that they share. */
export function bucketTick(chart: Chart, position: number): string {
  const below = chart.lines[position - 1]?.name;
  if (below?.startsWith("more")) return "∞";
  if (below) return /to (.*)$/.exec(below)?.[1] ?? "";
  const lowest = chart.lines[0]?.name ?? "";
  return lowest.startsWith("up to") ? "0" : (/^(.*) to /.exec(lowest)?.[1] ?? "0");
}

/**
 * Paints a cell per bucket and point, from the point before to this one, but at most `step` wide.
 * Its opacity follows the square root, so that few are visible.
 */
export function paintCells(plot: uPlot, color: string, step: number): void {
  const [times, ...buckets] = plot.data;
  const most = Math.max(...buckets.map((values) => maxValue(values as (number | null)[]) ?? 0));
  if (most === 0) return;
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = color;
  for (const [bucket, values] of buckets.entries()) {
    const top = Math.round(plot.valToPos(bucket + 1, "y", true));
    const bottom = Math.round(plot.valToPos(bucket, "y", true));
    for (let i = 0; i < times.length; i++) {
      const value = values[i] ?? 0;
      if (value <= 0) continue;
      const time = times[i] ?? 0;
      const begin = Math.max(time - step, times[i - 1] ?? -Infinity);
      const left = Math.round(plot.valToPos(begin, "x", true));
      const right = Math.round(plot.valToPos(time, "x", true));
      ctx.globalAlpha = 0.1 + 0.9 * Math.sqrt(value / most);
      ctx.fillRect(left, top + 1, Math.max(1, right - left), bottom - top - 1);
    }
  }
  ctx.restore();
}
