import { Tooltip } from "@mantine/core";
import type { SeriesSource } from "../../lib/series";
import { formatClock, formatSeconds } from "../../lib/units";
import styles from "./SourceBadge.module.css";

interface SourceBadgeProps {
  source: SeriesSource;
  step: number;
}

/** Where the numbers come from, since when, and how fine they are. */
export function SourceBadge({ source, step }: SourceBadgeProps) {
  const name = source.kind === "history" ? "own history" : "Prometheus";
  const detail = `measured every ${formatSeconds(source.resolution_seconds)}`;
  return (
    <Tooltip label={`${detail}; each point covers ${formatSeconds(step)}`}>
      <span className={styles.badge}>
        {name} since {formatClock(source.since, false)} · {formatSeconds(step)} steps
      </span>
    </Tooltip>
  );
}
