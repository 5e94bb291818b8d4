import type { RequestRecord } from "../../api/types";
import { formatSeconds } from "../../lib/units";
import styles from "./PhaseBar.module.css";

interface PhaseBarProps {
  request: RequestRecord;
  /** The seconds that fill the whole width. */
  longest: number;
}

/** Queue, prefill and decode of one request, to scale. */
export function PhaseBar({ request, longest }: PhaseBarProps) {
  const phases = [
    { name: "queue", seconds: request.queue_seconds ?? 0 },
    { name: "prefill", seconds: request.prefill_seconds ?? 0 },
    { name: "decode", seconds: request.decode_seconds ?? 0 },
  ];
  const words = phases.map(({ name, seconds }) => `${name} ${formatSeconds(seconds)}`).join(", ");
  let from = 0;
  return (
    <svg className={styles.bar} viewBox="0 0 100 8" preserveAspectRatio="none" role="img">
      <title>{words}</title>
      {phases.map(({ name, seconds }) => {
        const x = from;
        const width = longest > 0 ? (seconds / longest) * 100 : 0;
        from += width;
        return <rect key={name} className={styles[name]} x={x} width={width} height="8" />;
      })}
    </svg>
  );
}
