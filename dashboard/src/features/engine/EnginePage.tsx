/** The engine: its speed, how it spends its time, and the machine it runs on. */

import { useMemo } from "react";
import { getEngine } from "../../api/endpoints";
import { useHasScope, useLive, useLiveQuery } from "../../api/live";
import { useSeries } from "../../api/series";
import type { Series } from "../../api/types";
import { ChartBoard } from "../../components/ChartBoard";
import { ChartCard } from "../../components/ChartCard";
import { MarkList } from "../../components/MarkList";
import { PageHead } from "../../components/PageHead";
import { PageSkeleton } from "../../components/PageSkeleton";
import { QueryGate } from "../../components/QueryGate";
import { TimeTools } from "../../components/TimeTools";
import { presentPlans } from "../../lib/chart-plan";
import type { ChartView } from "../../lib/chart-view";
import type { Comparison } from "../../lib/compare";
import { comparedCharts } from "../../lib/compared-charts";
import { Benchmark } from "./benchmark/Benchmark";
import { LATENCY, OPTIONAL, PANELS, WORK } from "./charts";
import { EngineFacts } from "./EngineFacts";
import styles from "./EnginePage.module.css";

const FACTS_MILLISECONDS = 5000;

export function EnginePage() {
  const { status } = useLive().connection;
  const isAdmin = useHasScope("admin");
  const { query, earlier, time, viewOf } = useSeries(PANELS);
  const facts = useLiveQuery(["engine"], getEngine, FACTS_MILLISECONDS);
  return (
    <div className={styles.page}>
      <PageHead title="Engine" lead={status?.model?.engine}>
        <TimeTools series={query.data} time={time} />
      </PageHead>
      <QueryGate query={query} placeholder={<PageSkeleton />}>
        {(series) => (
          <EngineCharts
            series={series}
            earlier={earlier}
            compared={time.compared}
            view={viewOf(series)}
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

interface EngineChartsProps {
  series: Series;
  earlier: Series | undefined;
  compared: Comparison;
  view: ChartView;
}

function EngineCharts({ series, earlier, compared, view }: EngineChartsProps) {
  const [work = [], latency = [], optional = []] = useMemo(
    () =>
      [WORK, LATENCY, presentPlans(OPTIONAL, series)].map((plans) =>
        comparedCharts(plans, series, earlier, compared),
      ),
    [series, earlier, compared],
  );
  return (
    <>
      <MarkList marks={view.marks} window={view.window} />
      <ChartBoard title="Engine activity" charts={work} view={view} />
      <div className={styles.wide}>
        {[...latency, ...optional].map((chart) => (
          <ChartCard key={chart.id} chart={chart} view={view} />
        ))}
      </div>
    </>
  );
}
