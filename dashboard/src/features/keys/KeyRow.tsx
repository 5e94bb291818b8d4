import { Button } from "@mantine/core";
import type { KeyEntry } from "../../api/types";
import { Chip } from "../../components/Chip";
import { PageLink } from "../../components/PageLink";
import { formatAgo, formatCount } from "../../lib/units";
import { expiryWords, limitWords, oldSecretWords, stateOf, totalWords, weekOf } from "./keys";
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
  const week = weekOf(entry.usage);
  const isOver = state === "revoked" || state === "expired";
  return (
    <li className={styles.row} data-over={isOver}>
      <div className={styles.identity}>
        <div className={styles.nameLine}>
          <h2 className={styles.name}>
            <PageLink
              page="overview"
              changes={{ key_name: entry.name }}
              className={styles.link}
              title={`Charts of ${entry.name}`}
            >
              {entry.name}
            </PageLink>
          </h2>
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
          <div>{formatCount(week.requests)} requests in 7 days</div>
          <div className={styles.muted}>
            {formatCount(week.promptTokens)} tokens in, {formatCount(week.outputTokens)} out
          </div>
          <div className={styles.muted}>{totalWords(entry)}</div>
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
function Limit({ entry }: { entry: KeyEntry }) {
  const { rpm, remaining } = entry;
  if (rpm === 0) return <div className={styles.limit}>{limitWords(entry)}</div>;
  return (
    <div className={styles.limit}>
      <div>{limitWords(entry)}</div>
      <meter
        className={styles.meter}
        min={0}
        max={rpm}
        low={rpm / 4}
        optimum={rpm}
        value={remaining?.requests ?? rpm}
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
