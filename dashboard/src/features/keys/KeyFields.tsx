import { Checkbox, NativeSelect, NumberInput } from "@mantine/core";
import type { Scope } from "../../api/types";
import { SCOPES } from "./keys";
import styles from "./KeyFields.module.css";

/** What can be set when a key is created, and changed later. */
export interface KeyTerms {
  scopes: Scope[];
  /** Requests per minute; 0 means no limit. */
  rpm: number;
  lifetime: string;
}

interface KeyFieldsProps {
  terms: KeyTerms;
  lifetimes: { value: string; label: string }[];
  onChange: (change: Partial<KeyTerms>) => void;
}

export function KeyFields({ terms, lifetimes, onChange }: KeyFieldsProps) {
  const toggle = (scope: Scope) => {
    const scopes = terms.scopes.includes(scope)
      ? terms.scopes.filter((other) => other !== scope)
      : [...terms.scopes, scope];
    onChange({ scopes });
  };
  return (
    <>
      <fieldset className={styles.scopes}>
        <legend className={styles.legend}>Scopes</legend>
        {SCOPES.map(({ name, words }) => (
          <Checkbox
            key={name}
            label={name}
            description={words}
            checked={terms.scopes.includes(name)}
            onChange={() => toggle(name)}
          />
        ))}
        {terms.scopes.length === 0 && (
          <p className={styles.problem} role="alert">
            Choose at least one scope.
          </p>
        )}
      </fieldset>
      <div className={styles.pair}>
        <NumberInput
          label="Requests per minute"
          description="0 means no limit"
          min={0}
          max={1_000_000}
          allowDecimal={false}
          allowNegative={false}
          clampBehavior="strict"
          value={terms.rpm}
          onChange={(value) => onChange({ rpm: Number(value) || 0 })}
        />
        <NativeSelect
          label="Expires"
          description="It is refused afterwards"
          data={lifetimes}
          value={terms.lifetime}
          onChange={(event) => onChange({ lifetime: event.currentTarget.value })}
        />
      </div>
    </>
  );
}
