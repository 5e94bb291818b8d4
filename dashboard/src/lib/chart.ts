/** A chart is a list of lines over shared times. This file knows no canvas and no React. */

import { latestValue, maxValue, MIN_SAMPLES, stackSeries, type Value } from "./series";
import { quantileWords } from "./quantile";
import { formatClock, formatDayAndClock, formatTick, formatValue, type Unit } from "./units";

export interface ChartLine {
  name: string;
  values: Value[];
  /** A colour of the theme, such as "series-1". */
  color: string;
  /** Makes lines distinguishable without colour. */
  dash?: number[];
  /** "stack" is stacked on the previous one, "area" is filled, "reference" is a limit or objective. */
  kind: "line" | "area" | "stack" | "reference";
}

export interface Chart {
  id: string;
  title: string;
  /** The unit in words, shown beside the title. */
  unitWords: string;
  unit: Unit;
  times: number[];
  lines: ChartLine[];
  /** The number of observations of each point, for quantiles. */
  samples?: number[];
  /** Quantiles have the bounds of their buckets, and the time from which on they were observed. */
  bounds?: number[];
  exactSince?: number | null;
  /** What a heatmap counts, such as "gaps". */
  counted?: string;
  /** The lines are buckets, drawn as rows of shaded cells. */
  isHeatmap?: boolean;
  /** The text of an empty chart. */
  emptyWords: string;
}

/**
 * The lines as drawn: a stacked line is the sum of itself and those below. A stacked line
 * without values is left out, because it would lie on the line below it.
 */
export function drawnLines(chart: Chart): ChartLine[] {
  const lines = chart.lines.filter((line) => line.kind !== "stack" || maxValue(line.values));
  const stacked = lines.filter((line) => line.kind === "stack");
  const totals = stackSeries(stacked.map((line) => line.values));
  return lines.map((line) => {
    const place = stacked.indexOf(line);
    return place < 0 ? line : { ...line, values: totals[place] ?? [] };
  });
}

/** A value as text. That of a quantile says how exactly it is known. */
export function lineValue(chart: Chart, line: ChartLine, index: number): string | null {
  const value = line.values[index] ?? null;
  if (value === null) return null;
  return line.kind === "reference"
    ? formatValue(chart.unit, value)
    : valueWords(chart, value, chart.times[index] ?? 0);
}

function valueWords({ unit, bounds, exactSince }: Chart, value: number, time: number): string {
  if (!bounds) return formatValue(unit, value);
  return quantileWords(value, bounds, time >= (exactSince ?? Infinity));
}

const DAY = 86_400;

/** The time of a point, with its day if the chart shows more than one. */
export function timeWords({ times }: Chart, index: number): string {
  const time = times[index] ?? 0;
  const isLong = (times.at(-1) ?? 0) - (times[0] ?? 0) > DAY;
  return isLong ? formatDayAndClock(time) : formatClock(time);
}

/** True when the point rests on too few observations to be trusted. */
export function isWeak(chart: Chart, index: number): boolean {
  const n = chart.samples?.[index];
  return n !== undefined && n > 0 && n < MIN_SAMPLES;
}

export function isEmpty(chart: Chart): boolean {
  return chart.lines.every((line) => line.kind === "reference" || maxValue(line.values) === null);
}

/** Describes the chart in a sentence, for screen readers. */
export function summarize(chart: Chart, words: string): string {
  if (chart.isHeatmap && !isEmpty(chart)) return summarizeBuckets(chart, words);
  const lines = chart.lines.flatMap((line) => {
    const latest = latestValue(line.values);
    const highest = maxValue(line.values);
    if (latest === null || highest === null) return [];
    if (line.kind === "reference") return [`${line.name} ${formatValue(chart.unit, latest)}`];
    const shown = (value: number) =>
      valueWords(chart, value, chart.times[line.values.lastIndexOf(value)] ?? 0);
    return [`${line.name} latest ${shown(latest)}, highest ${shown(highest)}`];
  });
  const body = isEmpty(chart) ? chart.emptyWords : lines.join("; ");
  return `${chart.title}, ${words}: ${body}.`;
}

function summarizeBuckets(chart: Chart, words: string): string {
  const sums = chart.lines.map(({ name, values }) => {
    const sum = values.reduce<number>((all, value) => all + (value ?? 0), 0);
    return { name, sum };
  });
  const most = sums.reduce((a, b) => (b.sum > a.sum ? b : a));
  return `${chart.title}, ${words}: most often ${most.name}.`;
}

/** The y axis starts at 0 and includes a limit only if the data comes near it. */
export function yRange(dataMax: Value, references: Value[]): [number, number] {
  const top = dataMax === null || dataMax <= 0 ? 0 : dataMax;
  const near = references.filter((v): v is number => v !== null && v <= top * 2.5);
  const max = Math.max(top, ...near);
  return [0, max === 0 ? 1 : max * 1.08];
}

export function axisTicks(unit: Unit, ticks: number[]): string[] {
  return ticks.map((tick) => formatTick(unit, tick));
}
