import { useState } from "react";
import { changeKey } from "../../api/endpoints";
import { useCommand } from "../../api/live";
import type { KeyChange, KeyEntry } from "../../api/types";
import { KeyFields, type KeyTerms } from "./KeyFields";
import { KeyFormDialog } from "./KeyFormDialog";
import { expiryOf, expiryWords, LIFETIMES } from "./keys";

interface ChangeKeyDialogProps {
  target: KeyEntry;
  onClose: () => void;
}

const UNCHANGED = "unchanged";

export function ChangeKeyDialog({ target, onClose }: ChangeKeyDialogProps) {
  const [now] = useState(() => Date.now() / 1000);
  const [terms, setTerms] = useState<KeyTerms>({
    scopes: target.scopes,
    rpm: target.rpm,
    lifetime: UNCHANGED,
  });
  const { mutate, isPending, error } = useCommand(changeKey, "keys");
  const change = () => {
    const body: KeyChange = { scopes: terms.scopes, rpm: terms.rpm };
    if (terms.lifetime !== UNCHANGED) body.expires_at = expiryOf(terms.lifetime, Date.now() / 1000);
    mutate({ keyId: target.id, ...body }, { onSuccess: onClose });
  };
  return (
    <KeyFormDialog
      title={`Change ${target.name}`}
      action="Save"
      canSubmit={terms.scopes.length > 0}
      isBusy={isPending}
      problem={error?.message ?? null}
      onSubmit={change}
      onClose={onClose}
    >
      <KeyFields
        terms={terms}
        lifetimes={[
          { value: UNCHANGED, label: `unchanged (${expiryWords(target, now)})` },
          ...LIFETIMES,
        ]}
        onChange={(changed) => setTerms({ ...terms, ...changed })}
      />
    </KeyFormDialog>
  );
}
