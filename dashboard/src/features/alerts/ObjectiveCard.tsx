import { formatDuration, formatNumber, formatPercent } from "../../lib/units";
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
              {left < 0 ? " the budget has been spent" : " of the budget left"}
            </span>
          )}
        </p>
        <p className={styles.muted}>{account(objective)}</p>
      </div>
      <BudgetHistory history={history} />
      <BurnTable readings={BURN_RULES.map((rule) => readBurn(rule, objective))} />
    </section>
  );
}

/** "38 %" if that much is left; "1.4×" if more than the whole budget is spent. */
function budgetValue(left: number | null): string {
  if (left === null) return "no traffic";
  return left < 0 ? `${formatNumber(1 - left)}×` : formatPercent(left);
}

/** How many requests were good, and how many the objective asks for, in a sentence. */
function account({ good_ratio, num_requests, target, window_seconds }: Objective): string {
  const promise = `${formatPercent(target)} over ${windowWords(window_seconds)}`;
  if (good_ratio === null) return `The objective is ${promise}.`;
  // Rounded down: a share below 1 must not read 100 %.
  const good = `${(Math.floor(good_ratio * 10_000) / 100).toFixed(2)} %`;
  const count = num_requests === null ? "" : `${Math.round(num_requests).toLocaleString("en")} `;
  return `${good} of ${count}requests were good; the objective is ${promise}.`;
}

/** The service itself judges the last hour, or less after a start. */
function windowWords(seconds: number): string {
  return seconds >= 86_400
    ? `${formatNumber(seconds / 86_400)} days`
    : `the last ${formatDuration(seconds)}`;
}

function BurnTable({ readings }: { readings: BurnReading[] }) {
  return (
    <table className={styles.burn}>
      <caption className={styles.caption}>
        At a burn rate of 1×, the budget lasts exactly for its window. A rule alerts if its long and
        its short window are both above the threshold.
      </caption>
      <thead>
        <tr>
          <th scope="col">severity</th>
          <th scope="col">threshold</th>
          <th scope="col">long</th>
          <th scope="col">short</th>
          <th scope="col">state</th>
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
