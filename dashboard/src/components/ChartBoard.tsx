import type { ReactNode } from "react";
import type { Chart } from "../lib/chart";
import type { ChartView } from "../lib/chart-view";
import { ChartCard } from "./ChartCard";
import styles from "./ChartBoard.module.css";

interface ChartBoardProps {
  title: string;
  charts: Chart[];
  view: ChartView;
  children?: ReactNode;
}

/** A titled group of charts that share their time window, zoom and crosshair. */
export function ChartBoard({ title, charts, view, children }: ChartBoardProps) {
  return (
    <section className={styles.board} aria-label={title}>
      <h2 className={styles.title}>{title}</h2>
      <div className={styles.charts}>
        {charts.map((chart) => (
          <ChartCard key={chart.id} chart={chart} view={view} />
        ))}
        {children}
      </div>
    </section>
  );
}
