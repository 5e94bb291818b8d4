import type { KeyEntry } from "../../api/types";
import { formatCount } from "../../lib/units";
import styles from "./UsageBars.module.css";

const WIDTH = 84;
const HEIGHT = 28;
const GAP = 3;

/** Requests per day over the last seven days, today at the right. */
export function UsageBars({ days }: { days: KeyEntry["usage"]["last_7_days"] }) {
  const most = Math.max(1, ...days.map((day) => day.requests));
  const width = (WIDTH - GAP * (days.length - 1)) / Math.max(1, days.length);
  const words = days.map((day) => `${day.date}: ${formatCount(day.requests)}`).join(", ");
  return (
    <svg className={styles.bars} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img">
      <title>{`Requests per day: ${words}`}</title>
      {days.map((day, i) => {
        const height = day.requests === 0 ? 1.5 : Math.max(3, (day.requests / most) * HEIGHT);
        return (
          <rect
            key={day.date}
            className={styles.bar}
            data-empty={day.requests === 0}
            x={i * (width + GAP)}
            y={HEIGHT - height}
            width={width}
            height={height}
            rx="1.5"
          />
        );
      })}
    </svg>
  );
}
