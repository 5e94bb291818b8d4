import { Tooltip } from "@mantine/core";
import type { SeriesSource } from "../api/types";
import { formatClock, formatDay, formatDuration } from "../lib/units";
import styles from "./SourceBadge.module.css";

interface SourceBadgeProps {
  source: SeriesSource;
  step: number;
  /** The newest point, in seconds since the epoch. */
  end: number;
}

const DAY = 86_400;

/** Says where the numbers come from, since when, and at which resolution. */
export function SourceBadge({ source, step, end }: SourceBadgeProps) {
  const { kind, note, since, resolution_seconds: resolution } = source;
  const name = kind === "prometheus" ? "Prometheus" : "built-in history";
  const words = note ? `Prometheus unreachable, ${name}` : name;
  const from = end - since > DAY ? formatDay(since) : formatClock(since, false);
  const detail = `Measured every ${formatDuration(resolution)}; each point covers ${formatDuration(step)}.`;
  return (
    <Tooltip label={note ? `${note} ${detail}` : detail}>
      <span className={styles.badge} data-tone={note ? "warn" : "plain"}>
        <span className={styles.dot} aria-hidden />
        {words} since {from} · {formatDuration(step)} steps
      </span>
    </Tooltip>
  );
}
