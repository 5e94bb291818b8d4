import { formatNumber, formatPercent } from "../../lib/units";
import { budgetTone, BURN_RULES, readBurn, type BurnReading } from "./burn";
import { BudgetHistory } from "./BudgetHistory";
import type { Objective } from "../../api/types";
import styles from "./ObjectiveCard.module.css";

export function ObjectiveCard({ objective }: { objective: Objective }) {
  const { title, budget_left_ratio: left, history } = objective;
  return (
    <section className={styles.card} aria-label={title} data-tone={budgetTone(objective)}>
      <h2 className={styles.title}>{title}</h2>
      <div className={styles.top}>
        <p className={styles.budget}>
          <span className={styles.value}>{budgetValue(left)}</span>
          {left !== null && (
            <span className={styles.muted}>
              {left < 0 ? " the budget is spent" : " of the budget left"}
            </span>
          )}
        </p>
        <p className={styles.muted}>{account(objective)}</p>
      </div>
      <BudgetHistory history={history} />
      <BurnTable readings={BURN_RULES.map((rule) => readBurn(rule, objective.burn_rates))} />
    </section>
  );
}

/** "38 %" of it is left, or more than once, "1.4×", it is spent. */
function budgetValue(left: number | null): string {
  if (left === null) return "no traffic";
  return left < 0 ? `${formatNumber(1 - left)}×` : formatPercent(left);
}

/** What the budget is made of, in a sentence. */
function account({ good_ratio, num_requests, target, window_seconds }: Objective): string {
  const days = `${formatNumber(window_seconds / 86_400)} days`;
  const promise = `${formatPercent(target)} over ${days}`;
  if (good_ratio === null) return `The objective is ${promise}.`;
  // Rounded down: what is not kept in full must not read 100 %.
  const good = `${(Math.floor(good_ratio * 10_000) / 100).toFixed(2)} %`;
  const of = num_requests === null ? "" : ` of ${Math.round(num_requests).toLocaleString("en")}`;
  return `${good}${of} were good; the objective is ${promise}.`;
}

function BurnTable({ readings }: { readings: BurnReading[] }) {
  return (
    <table className={styles.burn}>
      <caption className={styles.caption}>
        Burn rate: at 1× the budget lasts exactly as long as its window
      </caption>
      <thead>
        <tr>
          <th scope="col">alerts</th>
          <th scope="col">above</th>
          <th scope="col">long</th>
          <th scope="col">short</th>
          <th scope="col">now</th>
        </tr>
      </thead>
      <tbody>
        {readings.map(({ rule, long, short, tone, words }) => (
          <tr key={rule.long}>
            <th scope="row">{rule.severity}</th>
            <td>{rule.threshold}×</td>
            <Rate window={rule.long} value={long} threshold={rule.threshold} />
            <Rate window={rule.short} value={short} threshold={rule.threshold} />
            <td>
              <span className={styles.state} data-tone={tone}>
                {words}
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface RateProps {
  window: string;
  value: number | null;
  threshold: number;
}

function Rate({ window, value, threshold }: RateProps) {
  return (
    <td data-above={value !== null && value > threshold}>
      {value === null ? "–" : `${formatNumber(value)}×`}{" "}
      <span className={styles.muted}>in {window}</span>
    </td>
  );
}
