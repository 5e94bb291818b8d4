/** The engine: its speed, how it spends its time, and the machine it runs on. */

import { useMemo } from "react";
import { getEngine } from "../../api/endpoints";
import { useHasScope, useLive, useLiveQuery } from "../../api/live";
import { useSeries } from "../../api/series";
import type { Series } from "../../api/types";
import { ChartBoard } from "../../components/ChartBoard";
import { ChartCard } from "../../components/ChartCard";
import { PageHead } from "../../components/PageHead";
import { PageSkeleton } from "../../components/PageSkeleton";
import { QueryGate } from "../../components/QueryGate";
import { TimeTools } from "../../components/TimeTools";
import { buildCharts, presentPlans } from "../../lib/chart-plan";
import { useZoom, type ChartView } from "../../lib/chart-view";
import { Benchmark } from "./benchmark/Benchmark";
import { LATENCY, OPTIONAL, PANELS, WORK } from "./charts";
import { EngineFacts } from "./EngineFacts";
import styles from "./EnginePage.module.css";

const FACTS_MILLISECONDS = 5000;

export function EnginePage() {
  const { status } = useLive().connection;
  const isAdmin = useHasScope("admin");
  const { query, range, words, setRange } = useSeries(PANELS);
  const facts = useLiveQuery(["engine"], getEngine, FACTS_MILLISECONDS);
  const [zoom, setZoom] = useZoom(range, query.data?.start ?? 0);
  return (
    <div className={styles.page}>
      <PageHead title="Engine" lead={status?.model?.engine}>
        <TimeTools
          series={query.data}
          range={range}
          onRange={setRange}
          zoom={zoom}
          onZoom={setZoom}
        />
      </PageHead>
      <QueryGate query={query} placeholder={<PageSkeleton />}>
        {(series) => (
          <EngineCharts
            series={series}
            view={{
              window: zoom ?? [series.start, series.end],
              onZoom: setZoom,
              rangeWords: words,
              startedAt: status?.started_at ?? 0,
            }}
          />
        )}
      </QueryGate>
      {facts.data && <EngineFacts facts={facts.data} />}
      {isAdmin && facts.data?.model?.embedding === null && (
        <Benchmark model={facts.data.model.id} />
      )}
    </div>
  );
}

function EngineCharts({ series, view }: { series: Series; view: ChartView }) {
  const work = useMemo(() => buildCharts(WORK, series), [series]);
  const latency = useMemo(() => buildCharts(LATENCY, series), [series]);
  const optional = useMemo(() => buildCharts(presentPlans(OPTIONAL, series), series), [series]);
  return (
    <>
      <ChartBoard title="Engine activity" charts={work} view={view} />
      <div className={styles.wide}>
        {[...latency, ...optional].map((chart) => (
          <ChartCard key={chart.id} chart={chart} view={view} />
        ))}
      </div>
    </>
  );
}
