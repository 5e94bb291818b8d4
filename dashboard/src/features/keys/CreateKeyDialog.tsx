import { TextInput } from "@mantine/core";
import { useState } from "react";
import { createKey } from "../../api/endpoints";
import { useCommand } from "../../api/live";
import type { KeyEntry, KeyWithSecret, NewKey } from "../../api/types";
import { KeyFields, type KeyTerms } from "./KeyFields";
import { KeyFormDialog } from "./KeyFormDialog";
import { expiryOf, LIFETIMES, nameProblem } from "./keys";

interface CreateKeyDialogProps {
  keys: KeyEntry[];
  onCreated: (key: KeyWithSecret) => void;
  onClose: () => void;
}

const START: KeyTerms = { scopes: ["inference"], rpm: 60, lifetime: "90d" };

export function CreateKeyDialog({ keys, onCreated, onClose }: CreateKeyDialogProps) {
  const [name, setName] = useState("");
  const [terms, setTerms] = useState(START);
  const { mutate, isPending, error } = useCommand(createKey, "keys");
  const taken = keys.filter((key) => key.revoked_at === null).map((key) => key.name);
  const problem = nameProblem(name, taken);
  const create = () => {
    const expires_at = expiryOf(terms.lifetime, Date.now() / 1000);
    const body: NewKey = { name, scopes: terms.scopes, rpm: terms.rpm, expires_at };
    mutate(body, { onSuccess: onCreated });
  };
  return (
    <KeyFormDialog
      title="Create a key"
      action="Create the key"
      canSubmit={problem === null && terms.scopes.length > 0}
      isBusy={isPending}
      problem={error?.message ?? null}
      onSubmit={create}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        description="Says who uses the key; it appears in metrics and logs"
        placeholder="laptop"
        autoComplete="off"
        spellCheck={false}
        data-autofocus
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
        error={name === "" ? null : problem}
      />
      <KeyFields
        terms={terms}
        lifetimes={LIFETIMES}
        onChange={(change) => setTerms({ ...terms, ...change })}
      />
    </KeyFormDialog>
  );
}
