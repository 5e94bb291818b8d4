import { formatClock } from "../lib/units";
import styles from "./ZoomBadge.module.css";

interface ZoomBadgeProps {
  zoom: [number, number] | null;
  onReset: () => void;
}

export function ZoomBadge({ zoom, onReset }: ZoomBadgeProps) {
  if (!zoom) return null;
  return (
    <button type="button" className={styles.badge} onClick={onReset}>
      {formatClock(zoom[0])} to {formatClock(zoom[1])}{" "}
      <span className={styles.reset}>show all</span>
    </button>
  );
}
