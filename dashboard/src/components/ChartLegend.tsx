import { isWeak, lineValue, type Chart, type ChartLine } from "../lib/chart";
import { latestIndex } from "../lib/series";
import styles from "./ChartLegend.module.css";

interface ChartLegendProps {
  chart: Chart;
  /** The point under the crosshair, or null for the latest point. */
  cursor: number | null;
}

/** The dash, name and value of each line. */
export function ChartLegend({ chart, cursor }: ChartLegendProps) {
  const newest = Math.max(...chart.lines.map((line) => latestIndex(line.values, 3) ?? -1));
  const index = cursor ?? newest;
  const isFaint = isWeak(chart, index);
  return (
    <ul className={styles.legend}>
      {chart.lines.map((line) => (
        <LegendEntry
          key={line.name}
          line={line}
          words={lineValue(chart, line, index)}
          isFaint={isFaint && line.kind !== "reference"}
        />
      ))}
      {isFaint && <li className={styles.name}>n = {chart.samples?.[index]}</li>}
    </ul>
  );
}

interface LegendEntryProps {
  line: ChartLine;
  words: string | null;
  isFaint: boolean;
}

function LegendEntry({ line, words, isFaint }: LegendEntryProps) {
  return (
    <li className={styles.entry}>
      <Swatch line={line} />
      <span className={styles.name}>{line.name}</span>
      <span className={styles.value} data-faint={isFaint || words === null}>
        {words ?? "–"}
      </span>
    </li>
  );
}

function Swatch({ line }: { line: ChartLine }) {
  const isFilled = line.kind === "stack" || line.kind === "area";
  return (
    <svg className={styles.swatch} viewBox="0 0 16 10" aria-hidden>
      {isFilled && (
        <rect width="16" height="10" rx="2" fill={`var(--${line.color})`} opacity="0.3" />
      )}
      <line
        x1="0"
        x2="16"
        y1={isFilled ? 1 : 5}
        y2={isFilled ? 1 : 5}
        stroke={`var(--${line.color})`}
        strokeWidth="2"
        strokeDasharray={line.dash?.join(" ")}
      />
    </svg>
  );
}
