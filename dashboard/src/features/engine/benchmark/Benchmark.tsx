import { Button } from "@mantine/core";
import { useHasScope, useLive } from "../../../api/live";
import { Notice } from "../../../components/Notice";
import { formatCount } from "../../../lib/units";
import { LEVELS, OBJECTIVES } from "./levels";
import { LevelTable } from "./LevelTable";
import { ProposedLimits } from "./ProposedLimits";
import { SweepChart } from "./SweepChart";
import { MAX_SECONDS } from "./sweep";
import { useSweep } from "./useSweep";
import styles from "./Benchmark.module.css";

/** Measures how latency grows with the number of streams, and proposes limits. */
export function Benchmark({ model }: { model: string }) {
  const { levels, current, note, start, stop } = useSweep(model);
  const canInfer = useHasScope("inference");
  const numRunning = useLive().connection.status?.engine?.num_running ?? 0;
  const isRunning = current !== null;
  return (
    <section className={styles.card} aria-label="Benchmark">
      <div className={styles.head}>
        <div>
          <h2 className={styles.title}>Benchmark</h2>
          <p className={styles.words}>
            Measures time to first token and inter-token latency with {LEVELS.join(", ")} streams at
            once, and proposes limits for a key. It sends up to {LEVELS.length * 3} requests with
            your key and takes up to {MAX_SECONDS} seconds.{" "}
            <strong>Requests of others are slower while it runs.</strong>
            {!isRunning && numRunning > 0 && ` Running now: ${formatCount(numRunning)}.`}
          </p>
        </div>
        {isRunning ? (
          <Button variant="default" onClick={stop}>
            Stop the benchmark
          </Button>
        ) : (
          <Button onClick={start} disabled={!canInfer}>
            {levels.length > 0 ? "Run it again" : "Run a benchmark"}
          </Button>
        )}
      </div>
      {!canInfer && <p className={styles.words}>Your key needs the scope inference for this.</p>}
      <p className={styles.progress} role="status">
        {isRunning &&
          `Measuring ${current} of ${LEVELS.at(-1)} streams at once. It stops if you leave this page.`}
      </p>
      {note !== null && (
        <Notice tone="warn" title="The benchmark ended early">
          <p>{note}</p>
        </Notice>
      )}
      {levels.length > 0 && (
        <>
          <div className={styles.charts}>
            <SweepChart
              title="Time to first token"
              points={levels.map(({ streams, ttft }) => ({ streams, ...ttft }))}
              objective={OBJECTIVES.ttft}
            />
            <SweepChart
              title="Inter-token latency"
              points={levels.map(({ streams, itl }) => ({ streams, ...itl }))}
              objective={OBJECTIVES.itl}
            />
          </div>
          <LevelTable levels={levels} />
          {!isRunning && <ProposedLimits levels={levels} />}
        </>
      )}
    </section>
  );
}
