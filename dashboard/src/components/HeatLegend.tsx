import { sumSeries } from "../lib/series";
import type { Chart } from "../lib/chart";
import { formatCount } from "../lib/units";
import styles from "./HeatLegend.module.css";

interface HeatLegendProps {
  chart: Chart;
  /** The point under the crosshair, or null. */
  cursor: number | null;
}

const SHADES = [0.12, 0.35, 0.6, 0.85, 1];

/** Explains the shades, and names the most frequent bucket under the crosshair. */
export function HeatLegend({ chart, cursor }: HeatLegendProps) {
  return (
    <p className={styles.legend}>
      fewer
      <svg className={styles.shades} viewBox="0 0 60 10" aria-hidden>
        {SHADES.map((opacity, i) => (
          <rect key={opacity} x={i * 12} width="12" height="10" opacity={opacity} />
        ))}
      </svg>
      more
      {cursor !== null && <span className={styles.value}>{wordsAt(chart, cursor)}</span>}
    </p>
  );
}

function wordsAt(chart: Chart, index: number): string {
  const all = sumSeries(chart.lines.map((line) => line.values))[index] ?? null;
  if (!all) return "none";
  const most = chart.lines.reduce((a, b) =>
    (b.values[index] ?? 0) > (a.values[index] ?? 0) ? b : a,
  );
  return `${formatCount(Math.round(all))} ${chart.counted ?? ""}, most of them ${most.name}`;
}
