import { Button } from "@mantine/core";
import type { KeyEntry } from "../../api/types";
import { Chip } from "../../components/Chip";
import { formatAgo, formatCount } from "../../lib/units";
import { expiryWords, oldSecretWords, stateOf } from "./keys";
import type { KeyAction } from "./key-action";
import { UsageBars } from "./UsageBars";
import styles from "./KeyRow.module.css";

interface KeyRowProps {
  entry: KeyEntry;
  /** Seconds since the epoch. */
  now: number;
  onDo: (action: KeyAction) => void;
}

export function KeyRow({ entry, now, onDo }: KeyRowProps) {
  const state = stateOf(entry, now);
  const oldSecret = oldSecretWords(entry, now);
  const isOver = state === "revoked" || state === "expired";
  return (
    <li className={styles.row} data-over={isOver}>
      <div className={styles.identity}>
        <div className={styles.nameLine}>
          <h2 className={styles.name}>{entry.name}</h2>
          {entry.prefix !== "" && <span className={styles.prefix}>{entry.prefix}…</span>}
        </div>
        <div className={styles.chips}>
          {entry.scopes.map((scope) => (
            <Chip key={scope} tone={scope === "admin" ? "accent" : "plain"}>
              {scope}
            </Chip>
          ))}
          {entry.source === "settings" && (
            <Chip
              tone="plain"
              title="This key is defined in the settings of the service and can only be changed there."
            >
              from the settings
            </Chip>
          )}
        </div>
      </div>
      <Limit entry={entry} />
      <div className={styles.usage}>
        <UsageBars days={entry.usage.last_7_days} />
        <div className={styles.counts}>
          <div>{formatCount(entry.usage.requests)} requests</div>
          <div className={styles.muted}>
            {formatCount(entry.usage.prompt_tokens)} in, {formatCount(entry.usage.output_tokens)}{" "}
            out
          </div>
        </div>
      </div>
      <div className={styles.times}>
        <div>
          {entry.last_used_at === null
            ? "never used"
            : `used ${formatAgo(now - entry.last_used_at)}`}
        </div>
        <div className={styles.expiry} data-state={state}>
          {expiryWords(entry, now)}
        </div>
        {oldSecret !== null && <div className={styles.muted}>{oldSecret}</div>}
      </div>
      <div className={styles.actions}>
        {entry.source === "database" && !isOver && <Actions entry={entry} onDo={onDo} />}
      </div>
    </li>
  );
}

/** How many requests are left this minute. */
function Limit({ entry: { rpm, remaining } }: { entry: KeyEntry }) {
  if (rpm === 0) return <div className={styles.limit}>no limit</div>;
  const left = remaining?.requests ?? rpm;
  return (
    <div className={styles.limit}>
      <div>
        {formatCount(left)} <span className={styles.muted}>of {formatCount(rpm)} / min left</span>
      </div>
      <meter
        className={styles.meter}
        min={0}
        max={rpm}
        low={rpm / 4}
        optimum={rpm}
        value={left}
        aria-label="Requests left this minute"
      />
    </div>
  );
}

function Actions({ entry, onDo }: { entry: KeyEntry; onDo: (action: KeyAction) => void }) {
  const actions = [
    { kind: "change", label: "Change" },
    { kind: "rotate", label: "Rotate" },
    { kind: "revoke", label: "Revoke" },
  ] as const;
  return actions.map(({ kind, label }) => (
    <Button
      key={kind}
      variant="default"
      size="compact-sm"
      aria-label={`${label} ${entry.name}`}
      onClick={() => onDo({ kind, target: entry })}
    >
      {label}
    </Button>
  ));
}
