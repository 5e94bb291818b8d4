import { phasesOf, type Timings } from "../../lib/requests";
import { formatSeconds } from "../../lib/units";
import styles from "./PhaseBar.module.css";

interface PhaseBarProps {
  timings: Timings;
  /** How many seconds the whole width stands for. */
  longest: number;
}

/** Queue, prefill and decode of one request as a bar, to scale. */
export function PhaseBar({ timings, longest }: PhaseBarProps) {
  const phases = phasesOf(timings).filter(({ name }) => name !== "other");
  const words = phases.map(({ name, seconds }) => `${name} ${formatSeconds(seconds)}`).join(", ");
  const scale = longest > 0 ? 100 / longest : 0;
  return (
    <svg className={styles.bar} viewBox="0 0 100 8" preserveAspectRatio="none" role="img">
      <title>{words || "refused before any work was done"}</title>
      {phases.map(({ name, from, seconds }) => (
        <rect
          key={name}
          className={styles[name]}
          x={from * scale}
          width={seconds * scale}
          height="8"
        />
      ))}
    </svg>
  );
}
