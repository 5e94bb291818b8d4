/** The view that all charts of a page share: the time window, the zoom and the range in words. */

import { useState } from "react";

/** Seconds since the epoch at the left and right edge. */
export type TimeWindow = [number, number];

export interface ChartView {
  window: TimeWindow;
  onZoom: (zoom: TimeWindow | null) => void;
  rangeWords: string;
  /** When the service started, drawn as a dashed vertical line. */
  startedAt: number;
}

/** The zoom of a page, kept until it leaves the window or another range is chosen. */
export function useZoom(
  range: string,
  start: number,
): [TimeWindow | null, (zoom: TimeWindow | null) => void] {
  const [zoom, setZoom] = useState<{ range: string; window: TimeWindow } | null>(null);
  const isKept = zoom !== null && zoom.range === range && zoom.window[1] > start;
  return [isKept ? zoom.window : null, (window) => setZoom(window && { range, window })];
}
