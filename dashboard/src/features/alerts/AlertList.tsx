import { Button } from "@mantine/core";
import { formatDuration, formatNumber } from "../../lib/units";
import type { Alert } from "../../api/types";
import styles from "./AlertList.module.css";

interface AlertListProps {
  alerts: Alert[];
  /** The service's clock, in seconds since the epoch. */
  now: number;
  onRunbook: (name: string) => void;
}

/** The alerts that are firing or pending, each with its description. */
export function ActiveAlerts({ alerts, now, onRunbook }: AlertListProps) {
  const active = alerts.filter((alert) => alert.state !== "inactive");
  if (active.length === 0) return null;
  return (
    <ul className={styles.active} aria-label="Active alerts">
      {active.map((alert, i) => (
        <ActiveAlert key={i} alert={alert} now={now} onRunbook={onRunbook} />
      ))}
    </ul>
  );
}

/** The rules whose condition does not hold. */
export function InactiveRules({ alerts, onRunbook }: Omit<AlertListProps, "now">) {
  const inactive = alerts.filter((alert) => alert.state === "inactive");
  return (
    <section className={styles.card} aria-label="Inactive rules">
      <h2 className={styles.title}>Inactive rules</h2>
      <ul className={styles.inactive}>
        {inactive.map((alert) => (
          <li key={`${alert.name} ${alert.severity} ${alert.query}`}>
            <span className={styles.severity}>{alert.severity}</span>
            <span className={styles.name}>{alert.name}</span>
            <span className={styles.summary}>{alert.summary}</span>
            <RunbookButton name={alert.name} onRunbook={onRunbook} />
          </li>
        ))}
      </ul>
    </section>
  );
}

interface ActiveAlertProps {
  alert: Alert;
  now: number;
  onRunbook: (name: string) => void;
}

function ActiveAlert({ alert, now, onRunbook }: ActiveAlertProps) {
  const { name, state, severity, since, value, summary, description, query } = alert;
  const tone = state === "firing" && severity === "page" ? "bad" : "warn";
  return (
    <li className={styles.alert} data-tone={tone}>
      <div className={styles.head}>
        <h2 className={styles.name}>{name}</h2>
        <span className={styles.state} data-tone={tone}>
          {state}
        </span>
        <span className={styles.muted}>
          {severity}
          {since !== null && ` · for ${formatDuration(Math.max(0, now - since))}`}
          {value !== "" && ` · value ${readable(value)}`}
        </span>
        <RunbookButton name={name} onRunbook={onRunbook} />
      </div>
      <p className={styles.words}>{description || summary}</p>
      <details className={styles.query}>
        <summary>Query</summary>
        <code>{query}</code>
      </details>
    </li>
  );
}

interface RunbookButtonProps {
  name: string;
  onRunbook: (name: string) => void;
}

function RunbookButton({ name, onRunbook }: RunbookButtonProps) {
  return (
    <span className={styles.runbook}>
      <Button
        variant="default"
        size="compact-sm"
        fw={500}
        aria-label={`Runbook for ${name}`}
        onClick={() => onRunbook(name)}
      >
        Runbook
      </Button>
    </span>
  );
}

/** Shortens a value, which Prometheus writes as 1.6800000000000002e+01. */
function readable(value: string): string {
  const number = Number(value);
  return Number.isFinite(number) ? formatNumber(number) : value;
}
