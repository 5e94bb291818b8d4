import { formatClock, formatDay, formatPercent } from "../../lib/units";
import { budgetLine } from "./budget-line";
import type { Objective } from "../../api/types";
import styles from "./BudgetHistory.module.css";

const WIDTH = 100;
const HEIGHT = 40;

/** How much of the budget was left over the window, as a line. */
export function BudgetHistory({ history }: { history: Objective["history"] }) {
  const { times, budget_left: values } = history;
  const known = values.filter((value) => value !== null);
  const first = times[0];
  const last = known.at(-1);
  // A line needs two points.
  if (first === undefined || last === undefined || known.length < 2) {
    return <p className={styles.empty}>No history yet</p>;
  }
  const began =
    (times.at(-1) ?? first) - first < 86_400 ? formatClock(first, false) : formatDay(first);
  const { path, zero, bottom } = budgetLine(values, WIDTH, HEIGHT);
  const words = `Budget left since ${began}: lowest ${formatPercent(Math.min(...known))}, now ${formatPercent(last)}`;
  return (
    <figure className={styles.figure}>
      <svg
        className={styles.line}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={words}
      >
        <path className={styles.edge} d={`M0 0H${WIDTH}`} vectorEffect="non-scaling-stroke" />
        <path className={styles.zero} d={`M0 ${zero}H${WIDTH}`} vectorEffect="non-scaling-stroke" />
        <path className={styles.value} d={path} vectorEffect="non-scaling-stroke" />
      </svg>
      <span className={styles.top}>100 %</span>
      <span className={styles.bottom}>{formatPercent(bottom)}</span>
      <figcaption className={styles.times}>
        <span>{began}</span>
        <span>now</span>
      </figcaption>
    </figure>
  );
}
