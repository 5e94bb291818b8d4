/** Polls the panels of a page over the time that the address names: a range until now, or a window. */

import type { UseQueryResult } from "@tanstack/react-query";
import type { ChartView, TimeChoice, TimeWindow } from "../lib/chart-view";
import { COMPARISONS, offsetOf } from "../lib/compare";
import { useRangeParam, useSearchParam, useTimeWindow } from "../lib/location";
import { joinAfterRestart } from "../lib/series";
import { RANGES, rangeSeconds, rangeWords, refreshMilliseconds } from "../lib/time-range";
import { formatSpan } from "../lib/units";
import { getSeries, type Span } from "./endpoints";
import { useMarks } from "./events";
import { useLiveQuery } from "./live";
import type { Series } from "./types";

const PAST_MILLISECONDS = 15_000;
const EARLIER_MILLISECONDS = 30_000;
/** A point covers at least five samples, in both sources. */
const SAMPLES_PER_POINT = 5;

export function useTimeChoice(): TimeChoice {
  const [range, setRange] = useRangeParam(RANGES);
  const [zoom, setZoom] = useTimeWindow();
  const [compared, setCompared] = useSearchParam("compare", COMPARISONS);
  return { range, setRange, zoom, setZoom, compared, setCompared };
}

export interface RangedSeries {
  query: UseQueryResult<Series>;
  /** The same panels at the time that is compared with; undefined if none is. */
  earlier: Series | undefined;
  /** The range that is shown in words, as in "the last 5 minutes". */
  words: string;
  time: TimeChoice;
  /** How charts of this answer are shown. */
  viewOf: (series: Series) => ChartView;
}

/** With `keyName`, only the requests of that key. */
export function useSeries(panels: string[], keyName = "", isEnabled = true): RangedSeries {
  const time = useTimeChoice();
  const marks = useMarks();
  const { range, zoom, setZoom, compared } = time;
  const span = zoom ?? rangeSeconds(range);
  const query = useLiveQuery(
    ["series", span, panels, keyName],
    (call) => getSeries(call, span, panels, keyName),
    zoom ? PAST_MILLISECONDS : refreshMilliseconds(range),
    { combine: zoom ? undefined : joinAfterRestart, isEnabled },
  );
  const shown = query.data;
  const offset = offsetOf(compared);
  const earlier = useLiveQuery(
    ["series", "earlier", offset, span, panels, keyName],
    (call) => getSeries(call, earlierSpan(span, shown, offset), panels, keyName),
    EARLIER_MILLISECONDS,
    { isEnabled: isEnabled && offset > 0 && shown !== undefined },
  );
  const words = rangeWords(range, shown?.source);
  return {
    query,
    earlier: offset > 0 ? earlier.data : undefined,
    words,
    time,
    viewOf: (series) => ({
      window: zoom ?? [series.start, series.end],
      onZoom: (window) => setZoom(window && atLeastTenSeconds(window)),
      words: zoom ? formatSpan(zoom) : `last ${words}`,
      marks,
      pointSeconds: Math.max(
        series.step_seconds,
        SAMPLES_PER_POINT * series.source.resolution_seconds,
      ),
    }),
  };
}

function earlierSpan(span: Span, shown: Series | undefined, offset: number): Span {
  const [start, end] = typeof span === "number" ? [shown?.start ?? 0, shown?.end ?? 0] : span;
  return [start - offset, end - offset];
}

function atLeastTenSeconds([from, to]: TimeWindow): TimeWindow {
  const missing = Math.max(0, 10 - (to - from)) / 2;
  return [from - missing, to + missing];
}
