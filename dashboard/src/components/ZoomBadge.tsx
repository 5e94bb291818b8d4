import { formatSpan } from "../lib/units";
import styles from "./ZoomBadge.module.css";

interface ZoomBadgeProps {
  zoom: [number, number] | null;
  onReset: () => void;
}

export function ZoomBadge({ zoom, onReset }: ZoomBadgeProps) {
  if (!zoom) return null;
  return (
    <button type="button" className={styles.badge} onClick={onReset}>
      {formatSpan(zoom)} <span className={styles.reset}>show now</span>
    </button>
  );
}
