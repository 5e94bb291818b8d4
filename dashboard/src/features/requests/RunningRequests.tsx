import { Button } from "@mantine/core";
import { useState } from "react";
import { cancelRequest } from "../../api/endpoints";
import { useCommand, useHasScope } from "../../api/live";
import type { RunningRequest } from "../../api/types";
import { Chip } from "../../components/Chip";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { secondsOrDash } from "../../lib/requests";
import { formatSeconds } from "../../lib/units";
import { progressOf } from "./progress";
import styles from "./RunningRequests.module.css";

const TONES = { queue: "plain", prefill: "warn", decode: "accent" } as const;

/** The requests that run now. A key with the scope admin can cancel them. */
export function RunningRequests({ running }: { running: RunningRequest[] }) {
  const [chosen, setChosen] = useState<RunningRequest | null>(null);
  const canCancel = useHasScope("admin");
  return (
    <section className={styles.card} aria-label="Running requests">
      <h2 className={styles.title}>
        Running <span className={styles.count}>{running.length}</span>
      </h2>
      {running.length === 0 ? (
        <p className={styles.none}>No request is running.</p>
      ) : (
        <ul className={styles.list}>
          {running.map((request) => (
            <RunningRow
              key={request.request_id}
              request={request}
              onCancel={canCancel ? () => setChosen(request) : null}
            />
          ))}
        </ul>
      )}
      <CancelDialog request={chosen} onClose={() => setChosen(null)} />
    </section>
  );
}

interface RunningRowProps {
  request: RunningRequest;
  /** null if this key may not cancel. */
  onCancel: (() => void) | null;
}

function RunningRow({ request, onCancel }: RunningRowProps) {
  const { share, words } = progressOf(request);
  const kind = request.stream ? `${request.operation} stream` : request.operation;
  return (
    <li className={styles.row}>
      <span className={styles.phase}>
        <Chip tone={TONES[request.phase]}>{request.phase}</Chip>
      </span>
      <span className={styles.who}>
        {request.key_name} <span className={styles.muted}>{kind}</span>
      </span>
      <span className={styles.progress}>
        <progress
          className={styles.bar}
          data-phase={request.phase}
          value={share}
          aria-label={`${request.phase}: ${words}`}
        />
        <span className={styles.muted}>{words}</span>
      </span>
      <span className={styles.fact}>
        <span className={styles.muted}>queue</span> {secondsOrDash(request.queue_seconds)}
      </span>
      <span className={styles.fact}>
        <span className={styles.muted}>TTFT</span> {secondsOrDash(request.ttft_seconds)}
      </span>
      <span className={styles.fact}>
        <span className={styles.muted}>for</span> {formatSeconds(request.elapsed_seconds)}
      </span>
      {onCancel && (
        <Button variant="default" size="compact-sm" className={styles.cancel} onClick={onCancel}>
          Cancel
        </Button>
      )}
    </li>
  );
}

interface CancelDialogProps {
  request: RunningRequest | null;
  onClose: () => void;
}

function CancelDialog({ request, onClose }: CancelDialogProps) {
  const { mutate, reset, isPending, error } = useCommand(cancelRequest, "requests");
  const close = () => {
    reset();
    onClose();
  };
  const confirm = () => {
    if (request) mutate(request.request_id, { onSuccess: close });
  };
  return (
    <ConfirmDialog
      title="Cancel this request?"
      action="Cancel the request"
      isOpen={request !== null}
      isBusy={isPending}
      problem={error?.message ?? null}
      onConfirm={confirm}
      onClose={close}
    >
      <p>
        The caller, <strong>{request?.key_name}</strong>, gets an error instead of the rest of the
        answer.
      </p>
      <p>
        <code>{request?.request_id}</code>
      </p>
    </ConfirmDialog>
  );
}
