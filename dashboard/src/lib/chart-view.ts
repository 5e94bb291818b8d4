/** The view that all charts of a page share: the time window and what is marked in it. */

import type { Comparison } from "./compare";
import type { Mark } from "./marks";
import type { Range } from "./time-range";

/** Seconds since the epoch at the left and right edge. */
export type TimeWindow = [number, number];

export interface ChartView {
  window: TimeWindow;
  /** null shows the whole range again. */
  onZoom: (zoom: TimeWindow | null) => void;
  /** The window in words, such as "last 5 minutes". */
  words: string;
  /** What happened, drawn as dashed vertical lines with a label. */
  marks: Mark[];
  /** How many seconds before its time a point covers. */
  pointSeconds: number;
}

/** The time that is looked at, as the address has it. */
export interface TimeChoice {
  range: Range;
  setRange: (range: Range) => void;
  /** A window in the past, or null for a range that ends now. */
  zoom: TimeWindow | null;
  setZoom: (zoom: TimeWindow | null) => void;
  compared: Comparison;
  setCompared: (comparison: Comparison) => void;
}
