import { useState } from "react";
import { formatClock } from "../lib/units";
import { ChartLegend } from "./ChartLegend";
import { ChartTable } from "./ChartTable";
import { IconChart, IconTable } from "./icons";
import { IconButton } from "./IconButton";
import { TimeChart, type TimeChartProps } from "./TimeChart";
import styles from "./ChartCard.module.css";

type ChartCardProps = Omit<TimeChartProps, "cursor" | "onCursor">;

/** A titled chart with its legend; it can also be read as a table. */
export function ChartCard(props: ChartCardProps) {
  const [isTable, setIsTable] = useState(false);
  const [cursor, setCursor] = useState<number | null>(null);
  const { chart } = props;
  const time = cursor === null ? undefined : chart.times[cursor];
  const label = isTable ? `${chart.title}: view as chart` : `${chart.title}: view as table`;
  return (
    <section className={styles.card} aria-label={chart.title} data-chart={chart.id}>
      <header className={styles.header}>
        <h2 className={styles.title}>{chart.title}</h2>
        <span className={styles.unit}>
          {time === undefined ? chart.unitWords : formatClock(time)}
        </span>
        <IconButton label={label} isQuiet onClick={() => setIsTable(!isTable)}>
          {isTable ? <IconChart /> : <IconTable />}
        </IconButton>
      </header>
      {isTable ? (
        <ChartTable chart={chart} />
      ) : (
        <>
          <ChartLegend chart={chart} cursor={cursor} />
          <TimeChart {...props} cursor={cursor} onCursor={setCursor} />
        </>
      )}
    </section>
  );
}
