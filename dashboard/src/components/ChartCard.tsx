import { useState } from "react";
import { timeWords, type Chart } from "../lib/chart";
import type { ChartView } from "../lib/chart-view";
import { ChartLegend } from "./ChartLegend";
import { ChartTable } from "./ChartTable";
import { HeatLegend } from "./HeatLegend";
import { IconChart, IconTable } from "./icons";
import { IconButton } from "./IconButton";
import { TimeChart } from "./TimeChart";
import styles from "./ChartCard.module.css";

interface ChartCardProps {
  chart: Chart;
  view: ChartView;
}

/** A titled chart with its legend, which can be switched to a table. */
export function ChartCard({ chart, view }: ChartCardProps) {
  const [isTable, setIsTable] = useState(false);
  const [cursor, setCursor] = useState<number | null>(null);
  const label = isTable ? `${chart.title}: view as chart` : `${chart.title}: view as table`;
  return (
    <section className={styles.card} aria-label={chart.title} data-chart={chart.id}>
      <header className={styles.header}>
        <h3 className={styles.title}>{chart.title}</h3>
        <span className={styles.unit}>
          {cursor === null ? chart.unitWords : timeWords(chart, cursor)}
        </span>
        <IconButton label={label} isQuiet onClick={() => setIsTable(!isTable)}>
          {isTable ? <IconChart /> : <IconTable />}
        </IconButton>
      </header>
      {isTable ? (
        <ChartTable chart={chart} />
      ) : (
        <>
          {chart.isHeatmap ? (
            <HeatLegend chart={chart} cursor={cursor} />
          ) : (
            <ChartLegend chart={chart} cursor={cursor} />
          )}
          <TimeChart chart={chart} view={view} cursor={cursor} onCursor={setCursor} />
        </>
      )}
    </section>
  );
}
