import { Tooltip } from "@mantine/core";
import { readContext, type ContextUse } from "./context";
import styles from "./ContextMeter.module.css";

interface ContextMeterProps {
  use: ContextUse;
  /** The limit of the answer, or null. */
  maxTokens: number | null;
}

/** Shows how much of the context is used. */
export function ContextMeter({ use, maxTokens }: ContextMeterProps) {
  const { words, detail, tone, share } = readContext(use, maxTokens);
  return (
    <Tooltip label={detail}>
      <div
        className={styles.meter}
        data-tone={tone}
        role="meter"
        aria-label="Context used"
        aria-valuemin={0}
        aria-valuemax={use.max}
        aria-valuenow={Math.min(use.used, use.max)}
        aria-valuetext={`${words}. ${detail}`}
      >
        <svg className={styles.bar} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden>
          <rect className={styles.track} width="100" height="4" />
          <rect className={styles.fill} width={share * 100} height="4" />
        </svg>
        {words}
      </div>
    </Tooltip>
  );
}
