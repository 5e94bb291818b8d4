/** Is it healthy, how fast is it, what does it use: the service at a glance, live. */

import { useMemo, useState } from "react";
import { useLive, useLiveQuery } from "../../api/live";
import type { RequestRecord, Status } from "../../api/types";
import { ChartCard } from "../../components/ChartCard";
import { QueryGate } from "../../components/QueryGate";
import { joinAfterRestart, type SeriesResponse } from "../../lib/series";
import { useSearchParam } from "../../lib/location";
import {
  RANGES,
  rangeWords,
  refreshMilliseconds,
  seriesPath,
  type Range,
} from "../../lib/time-range";
import { buildCharts, PANELS } from "./charts";
import { judge, UNKNOWN } from "./health";
import { HealthSentence } from "./HealthSentence";
import { OverviewSkeleton } from "./OverviewSkeleton";
import { RangePicker } from "./RangePicker";
import { RecentRequests } from "./RecentRequests";
import { SourceBadge } from "./SourceBadge";
import { TileGrid } from "./TileGrid";
import { buildTiles } from "./tiles";
import { ZoomBadge } from "./ZoomBadge";
import styles from "./OverviewPage.module.css";

export function OverviewPage() {
  const { connection } = useLive();
  const [range, setRange] = useSearchParam("range", RANGES);
  const wait = refreshMilliseconds(range);
  const series = useLiveQuery<SeriesResponse>(
    "series",
    seriesPath(range, PANELS),
    wait,
    joinAfterRestart,
  );
  const { status } = connection;
  return (
    <QueryGate query={series} placeholder={<OverviewSkeleton />}>
      {(data) =>
        status && (
          <Overview
            series={data}
            status={status}
            isAway={connection.numFailures > 0}
            range={range}
            onRange={setRange}
          />
        )
      }
    </QueryGate>
  );
}

interface OverviewProps {
  series: SeriesResponse;
  status: Status;
  /** Nobody answers: what is shown is what was last known. */
  isAway: boolean;
  range: Range;
  onRange: (range: Range) => void;
}

type Window = [number, number];

function Overview({ series, status, isAway, range, onRange }: OverviewProps) {
  const [zoom, setZoom] = useState<Window | null>(null);
  const charts = useMemo(() => buildCharts(series), [series]);
  const kept = zoom && zoom[1] > series.start ? zoom : null; // Until time has moved past it.
  const shown = useMemo<Window>(() => kept ?? [series.start, series.end], [kept, series]);
  const words = rangeWords(range);
  const changeRange = (next: Range) => {
    setZoom(null);
    onRange(next);
  };
  return (
    <div className={styles.page}>
      <div className={styles.bar}>
        <HealthSentence health={isAway ? UNKNOWN : judge(status, series, words)} />
        <ZoomBadge zoom={kept} onReset={() => setZoom(null)} />
        <SourceBadge source={series.source} step={series.step_seconds} />
        <RangePicker range={range} source={series.source} onChange={changeRange} />
      </div>
      <TileGrid tiles={buildTiles(series, status)} />
      <div className={styles.charts}>
        {charts.map((chart) => (
          <ChartCard
            key={chart.id}
            chart={chart}
            window={shown}
            since={series.source.since}
            rangeWords={words}
            onZoom={setZoom}
          />
        ))}
      </div>
      <RecentRequestsSection />
    </div>
  );
}

function RecentRequestsSection() {
  const recent = useLiveQuery<{ requests: RequestRecord[] }>(
    "requests",
    "/api/requests?limit=10",
    5000,
  );
  return (
    <QueryGate query={recent} placeholder={null}>
      {(data) => <RecentRequests requests={data.requests} />}
    </QueryGate>
  );
}
