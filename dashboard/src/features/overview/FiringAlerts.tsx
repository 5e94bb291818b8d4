import type { Alert } from "../../api/types";
import { PageLink } from "../../components/PageLink";
import { useNow } from "../../lib/clock";
import { formatDuration } from "../../lib/units";
import styles from "./FiringAlerts.module.css";

/** The firing alerts with their summaries, each a link to the alerts page. */
export function FiringAlerts({ alerts }: { alerts: Alert[] }) {
  const now = useNow(alerts.length > 0) / 1000;
  if (alerts.length === 0) return null;
  return (
    <ul className={styles.alerts} aria-label="Firing alerts">
      {alerts.map((alert) => (
        <li key={alert.name}>
          <PageLink page="alerts" className={styles.alert} data-severity={alert.severity}>
            <strong>{alert.name}</strong>
            <span>{alert.summary}</span>
            {alert.since !== null && (
              <span className={styles.since}>for {formatDuration(now - alert.since)}</span>
            )}
          </PageLink>
        </li>
      ))}
    </ul>
  );
}
