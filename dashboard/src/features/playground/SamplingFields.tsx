import { NumberInput, Textarea } from "@mantine/core";
import { useState } from "react";
import type { ServedModel } from "../../api/types";
import {
  MAIN_FIELDS,
  MORE_FIELDS,
  type NumberBox,
  type NumberName,
  type SamplingField,
} from "./sampling-fields";
import { DEFAULT_SAMPLING, isDefaultSampling, type Sampling } from "./settings";
import { SliderField } from "./SliderField";
import styles from "./SettingsPanel.module.css";

interface SamplingFieldsProps {
  sampling: Sampling;
  /** The model's own values, shown while nothing is chosen. */
  defaults: ServedModel["default_sampling"];
  onChange: (sampling: Sampling) => void;
}

export function SamplingFields({ sampling, defaults, onChange }: SamplingFieldsProps) {
  const set = (name: NumberName, value: number | null) => onChange({ ...sampling, [name]: value });
  const draw = (field: SamplingField) => (
    <Field
      key={field.name}
      field={field}
      value={sampling[field.name]}
      fallback={defaults[field.name]}
      onChange={(value) => set(field.name, value)}
    />
  );
  return (
    <section className={styles.group} aria-label="Sampling">
      <div className={styles.head}>
        <h2 className={styles.title}>Sampling</h2>
        {!isDefaultSampling(sampling) && (
          <button type="button" className={styles.reset} onClick={() => onChange(DEFAULT_SAMPLING)}>
            Reset all
          </button>
        )}
      </div>
      <div className={styles.fields}>{MAIN_FIELDS.map(draw)}</div>
      <details className={styles.more}>
        <summary>More</summary>
        <div className={styles.fields}>
          {MORE_FIELDS.map(draw)}
          <StopField value={sampling.stop} onChange={(stop) => onChange({ ...sampling, stop })} />
        </div>
      </details>
    </section>
  );
}

interface FieldProps {
  field: SamplingField;
  value: number | null;
  /** The model's own value, if it has one. */
  fallback: number | undefined;
  onChange: (value: number | null) => void;
}

function Field({ field, value, fallback, onChange }: FieldProps) {
  if (field.kind === "number") {
    const placeholder = fallback ? String(fallback) : field.placeholder;
    return (
      <NumberField field={field} value={value} placeholder={placeholder} onChange={onChange} />
    );
  }
  const { label, hint, min, max } = field;
  return (
    <div className={styles.wide}>
      <SliderField
        label={label}
        hint={hint}
        min={min}
        max={max}
        value={value}
        fallback={fallback ?? field.fallback}
        onChange={onChange}
      />
    </div>
  );
}

interface NumberFieldProps {
  field: NumberBox;
  value: number | null;
  placeholder: string;
  onChange: (value: number | null) => void;
}

function NumberField({ field, value, placeholder, onChange }: NumberFieldProps) {
  const { label, min, max, step } = field;
  return (
    <NumberInput
      label={label}
      placeholder={placeholder}
      min={min}
      {...(max === undefined ? {} : { max })}
      step={step ?? 1}
      allowDecimal={step !== undefined}
      allowNegative={false}
      value={value ?? ""}
      onChange={(entered) => {
        const number = Number(entered);
        onChange(entered === "" || number < min ? null : number);
      }}
    />
  );
}

const MAX_STOPS = 16;

interface StopFieldProps {
  value: string[] | null;
  onChange: (value: string[] | null) => void;
}

function StopField({ value, onChange }: StopFieldProps) {
  const [text, setText] = useState((value ?? []).join("\n"));
  const [shownFor, setShownFor] = useState(value);
  if (value !== shownFor) {
    // Changed from outside: another conversation, or a reset.
    setShownFor(value);
    setText((value ?? []).join("\n"));
  }
  const change = (entered: string) => {
    const stops = entered.split("\n").filter((line) => line !== "");
    const next = stops.length > 0 ? stops.slice(0, MAX_STOPS) : null;
    setText(entered);
    setShownFor(next);
    onChange(next);
  };
  return (
    <Textarea
      className={styles.wide}
      label="Stop strings"
      placeholder="One per line"
      autosize
      minRows={1}
      maxRows={4}
      value={text}
      onChange={(event) => change(event.currentTarget.value)}
    />
  );
}
