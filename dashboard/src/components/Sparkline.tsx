import { sparklinePath } from "../lib/sparkline";
import type { Value } from "../lib/series";
import styles from "./Sparkline.module.css";

const WIDTH = 120;
const HEIGHT = 28;

/** A series as a small line without axes. Gaps in the data stay gaps. */
export function Sparkline({ values }: { values: Value[] }) {
  const { line, area } = sparklinePath(values, WIDTH, HEIGHT);
  return (
    <svg
      className={styles.sparkline}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden
    >
      <path className={styles.area} d={area} />
      <path className={styles.line} d={line} vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
