import type { Alert } from "../../api/types";
import { useNow } from "../../lib/clock";
import { searchWith } from "../../lib/location";
import { formatAge } from "../../lib/units";
import styles from "./FiringAlerts.module.css";

/** Each alert that fires, in its own words, and the way to all of them. */
export function FiringAlerts({ alerts }: { alerts: Alert[] }) {
  const now = useNow(alerts.length > 0) / 1000;
  if (alerts.length === 0) return null;
  const href = searchWith(window.location.search, { page: "alerts" });
  return (
    <ul className={styles.alerts} aria-label="Firing alerts">
      {alerts.map((alert) => (
        <li key={alert.name + alert.severity}>
          <a className={styles.alert} data-severity={alert.severity} href={href}>
            <strong>{alert.name}</strong>
            <span>{alert.summary}</span>
            {alert.since !== null && (
              <span className={styles.since}>for {formatAge(now - alert.since)}</span>
            )}
          </a>
        </li>
      ))}
    </ul>
  );
}
