import { Button, NativeSelect, NumberInput } from "@mantine/core";
import { useState } from "react";
import { changeKey, getKeys } from "../../../api/endpoints";
import { useCommand, useLiveQuery } from "../../../api/live";
import { CopyButton } from "../../../components/CopyButton";
import { formatCount, formatSeconds } from "../../../lib/units";
import { changeableKeys, limitWords } from "./changeable-keys";
import { OBJECTIVES, proposeLimits, type Level, type Proposal } from "./levels";
import styles from "./Benchmark.module.css";

const REFRESH_MILLISECONDS = 10_000;
const MAX_ANSWER_TOKENS = 100_000;

/** What the measurements allow, and a way to give that limit to a key. */
export function ProposedLimits({ levels }: { levels: Level[] }) {
  const [answerTokens, setAnswerTokens] = useState(256);
  const proposal = proposeLimits(levels, answerTokens);
  if (!proposal) return null;
  const setting = `LLM_MAX_CHOICES_PER_KEY=${proposal.streams}`;
  return (
    <div className={styles.limits}>
      <h3 className={styles.title}>Proposed limits</h3>
      <p className={styles.words}>{capacityWords(proposal)}</p>
      <div className={styles.fields}>
        <NumberInput
          label="Tokens per answer"
          min={1}
          max={MAX_ANSWER_TOKENS}
          allowDecimal={false}
          allowNegative={false}
          value={answerTokens}
          onChange={(value) =>
            setAnswerTokens(Math.min(Math.max(1, Number(value)), MAX_ANSWER_TOKENS))
          }
        />
        <KeyLimit requestsPerMinute={proposal.requestsPerMinute} />
      </div>
      <div className={styles.setting}>
        <p className={styles.words}>
          The number of choices that a key may have at once is one setting for all keys, read when
          the service starts:
        </p>
        <code>{setting}</code>
        <CopyButton text={setting} />
      </div>
    </div>
  );
}

function capacityWords({ streams, requestsPerMinute, isWithinObjectives }: Proposal): string {
  const objectives = `${formatSeconds(OBJECTIVES.ttft)} to the first token and ${formatSeconds(OBJECTIVES.itl)} between tokens (p95)`;
  const rate = `${formatCount(requestsPerMinute)} requests per minute keep that many streams busy, with a fifth of the speed in reserve.`;
  return isWithinObjectives
    ? `Up to ${streams} streams at once meet the objectives of ${objectives}. ${rate}`
    : `Even one stream misses the objectives of ${objectives}, so one stream at once is proposed. ${rate}`;
}

function KeyLimit({ requestsPerMinute }: { requestsPerMinute: number }) {
  const keys = changeableKeys(useLiveQuery(["keys"], getKeys, REFRESH_MILLISECONDS).data);
  const [keyId, setKeyId] = useState("");
  const { mutate, isPending, error, data } = useCommand(changeKey, "keys");
  const target = keys.find(({ id }) => id === keyId) ?? keys[0];
  if (!target) {
    return (
      <p className={styles.words}>
        There is no key that can be changed. Create one on the page Keys; keys from the settings
        have the limit LLM_DEFAULT_RPM.
      </p>
    );
  }
  return (
    <>
      <NativeSelect
        label="Key"
        data={keys.map((key) => ({ value: key.id, label: `${key.name} (${limitWords(key.rpm)})` }))}
        value={target.id}
        onChange={(event) => setKeyId(event.currentTarget.value)}
      />
      <Button
        loading={isPending}
        onClick={() => mutate({ keyId: target.id, rpm: requestsPerMinute })}
      >
        Set {formatCount(requestsPerMinute)} requests per minute
      </Button>
      <p className={styles.outcome} role="status" data-tone={error ? "bad" : "ok"}>
        {error?.message ?? (data && `The limit of ${data.name} is now ${limitWords(data.rpm)}.`)}
      </p>
    </>
  );
}
