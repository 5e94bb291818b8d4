/** The panels of a page over the range that the address names, asked again and again. */

import type { UseQueryResult } from "@tanstack/react-query";
import { useSearchParam } from "../lib/location";
import { joinAfterRestart } from "../lib/series";
import { RANGES, rangeWords, refreshMilliseconds, seriesPath, type Range } from "../lib/time-range";
import { useLiveQuery } from "./live";
import type { Series } from "./types";

export interface RangedSeries {
  query: UseQueryResult<Series>;
  range: Range;
  /** Of what is shown, as in "the last 5 minutes". */
  words: string;
  setRange: (range: Range) => void;
}

export function useSeries(panels: string[]): RangedSeries {
  const [range, setRange] = useSearchParam("range", RANGES);
  const path = seriesPath(range, panels);
  const query = useLiveQuery<Series>("series", path, refreshMilliseconds(range), {
    combine: joinAfterRestart,
  });
  return { query, range, words: rangeWords(range, query.data?.source), setRange };
}
