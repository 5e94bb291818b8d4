import { phasesOf, type Timings } from "../../lib/requests";
import { formatSeconds } from "../../lib/units";
import styles from "./Waterfall.module.css";

const WORDS = {
  queue: "waiting for a slot",
  prefill: "reading the prompt",
  decode: "writing the answer",
  other: "receiving and sending",
};

/** The phases of one request, one below the other, to scale. */
export function Waterfall({ timings }: { timings: Timings }) {
  const phases = phasesOf(timings);
  const total = Math.max(
    timings.duration_seconds ?? 0,
    ...phases.map(({ from, seconds }) => from + seconds),
  );
  if (total === 0) return <p className={styles.none}>It was refused before any work was done.</p>;
  return (
    <dl className={styles.waterfall} aria-label="Time per phase">
      {phases.map(({ name, from, seconds }) => (
        <div key={name} className={styles.row}>
          <dt className={styles.name}>
            {name} <span className={styles.words}>{WORDS[name]}</span>
          </dt>
          <dd className={styles.track}>
            <svg
              className={styles.lane}
              viewBox="0 0 100 10"
              preserveAspectRatio="none"
              aria-hidden
            >
              <rect
                className={styles[name]}
                x={(from / total) * 100}
                width={Math.max(0.3, (seconds / total) * 100)}
                height="10"
                rx="0.4"
              />
            </svg>
            <span className={styles.value}>{formatSeconds(seconds)}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}
