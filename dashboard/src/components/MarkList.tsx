import type { TimeWindow } from "../lib/chart-view";
import { marksIn, type Mark } from "../lib/marks";
import { formatClock, formatDayAndSeconds } from "../lib/units";
import styles from "./MarkList.module.css";

const DAY = 86_400;

/** What is marked on the charts, in words: the newest first. Nothing if nothing happened. */
export function MarkList({ marks, window }: { marks: Mark[]; window: TimeWindow }) {
  const shown = marksIn(marks, window).reverse();
  if (shown.length === 0) return null;
  const isLong = window[1] - window[0] > DAY;
  return (
    <details className={styles.marks}>
      <summary className={styles.summary}>
        {shown.length === 1 ? "One event" : `${shown.length} events`} in this time:{" "}
        {shown[0]?.words}
      </summary>
      <ul className={styles.list} aria-label="Events">
        {shown.map(({ at, label, words, tone }) => (
          <li key={`${at} ${words}`} data-tone={tone}>
            <span className={styles.time}>
              {isLong ? formatDayAndSeconds(at) : formatClock(at)}
            </span>{" "}
            <strong>{label}</strong> {words}
          </li>
        ))}
      </ul>
    </details>
  );
}
