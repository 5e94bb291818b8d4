/** What all charts of a page share: the stretch of time, the zoom, and the words for it. */

import { useState } from "react";

/** Seconds since the epoch at the left and right edge. */
export type TimeWindow = [number, number];

export interface ChartView {
  window: TimeWindow;
  onZoom: (zoom: TimeWindow | null) => void;
  rangeWords: string;
  /** When the service started: a dashed upright line, for what is left of it came before. */
  startedAt: number;
}

/** One zoom for all charts of a page, until time has moved past it or another range is chosen. */
export function useZoom(
  range: string,
  start: number,
): [TimeWindow | null, (zoom: TimeWindow | null) => void] {
  const [zoom, setZoom] = useState<{ range: string; window: TimeWindow } | null>(null);
  const isKept = zoom !== null && zoom.range === range && zoom.window[1] > start;
  return [isKept ? zoom.window : null, (window) => setZoom(window && { range, window })];
}
