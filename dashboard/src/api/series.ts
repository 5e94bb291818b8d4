/** Polls the panels of a page over the time range that the address names. */

import type { UseQueryResult } from "@tanstack/react-query";
import { useSearchParam } from "../lib/location";
import { joinAfterRestart } from "../lib/series";
import {
  RANGES,
  rangeSeconds,
  rangeWords,
  refreshMilliseconds,
  type Range,
} from "../lib/time-range";
import { getSeries } from "./endpoints";
import { useLiveQuery } from "./live";
import type { Series } from "./types";

export interface RangedSeries {
  query: UseQueryResult<Series>;
  range: Range;
  /** The range that is shown in words, as in "the last 5 minutes". */
  words: string;
  setRange: (range: Range) => void;
}

export function useSeries(panels: string[]): RangedSeries {
  const [range, setRange] = useSearchParam("range", RANGES);
  const query = useLiveQuery(
    ["series", range, panels],
    (call) => getSeries(call, rangeSeconds(range), panels),
    refreshMilliseconds(range),
    { combine: joinAfterRestart },
  );
  return { query, range, words: rangeWords(range, query.data?.source), setRange };
}
