import { Checkbox } from "@mantine/core";
import { useState } from "react";
import { revokeKey, rotateKey } from "../../api/endpoints";
import { useCommand } from "../../api/live";
import type { KeyEntry, KeyWithSecret } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";

interface RotateDialogProps {
  target: KeyEntry;
  onRotated: (key: KeyWithSecret) => void;
  onClose: () => void;
}

export function RotateDialog({ target, onRotated, onClose }: RotateDialogProps) {
  const { mutate, isPending, error } = useCommand(rotateKey, "keys");
  const [hasLeaked, setHasLeaked] = useState(false);
  // Without `overlap_seconds` the old secret stays valid for a day.
  const rotation = { keyId: target.id, ...(hasLeaked ? { overlap_seconds: 0 } : {}) };
  return (
    <ConfirmDialog
      title={`Rotate ${target.name}?`}
      action="Rotate"
      isOpen
      isBusy={isPending}
      problem={error?.message ?? null}
      onConfirm={() => mutate(rotation, { onSuccess: onRotated })}
      onClose={onClose}
    >
      <p>The key gets a new secret, which is shown once. Its name, scopes, limit and usage stay.</p>
      <p>
        The old secret stays valid for 24 hours, so that you can replace it without an interruption.
      </p>
      <Checkbox
        label="The old secret has leaked: invalidate it now"
        checked={hasLeaked}
        onChange={(event) => setHasLeaked(event.currentTarget.checked)}
      />
    </ConfirmDialog>
  );
}

interface RevokeDialogProps {
  target: KeyEntry;
  onClose: () => void;
}

export function RevokeDialog({ target, onClose }: RevokeDialogProps) {
  const { mutate, isPending, error } = useCommand(revokeKey, "keys");
  return (
    <ConfirmDialog
      title={`Revoke ${target.name}?`}
      action="Revoke"
      isOpen
      isBusy={isPending}
      problem={error?.message ?? null}
      onConfirm={() => mutate(target.id, { onSuccess: onClose })}
      onClose={onClose}
    >
      <p>Requests with this key are refused from now on. This cannot be undone.</p>
      <p>Its running requests continue, and its usage stays on record.</p>
    </ConfirmDialog>
  );
}
