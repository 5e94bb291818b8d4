import { NumberInput, Textarea } from "@mantine/core";
import { useState } from "react";
import type { ServedModel } from "../../api/types";
import { DEFAULT_SAMPLING, isDefaultSampling, type Sampling } from "./settings";
import { SliderField } from "./SliderField";
import styles from "./SettingsPanel.module.css";

interface SamplingFieldsProps {
  sampling: Sampling;
  /** The service's own, shown where nothing is chosen. */
  defaults: ServedModel["default_sampling"];
  onChange: (sampling: Sampling) => void;
}

export function SamplingFields({ sampling, defaults, onChange }: SamplingFieldsProps) {
  const set = (some: Partial<Sampling>) => onChange({ ...sampling, ...some });
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
      <SliderField
        label="Temperature"
        hint="0 always takes the likeliest token"
        max={2}
        value={sampling.temperature}
        fallback={defaults.temperature ?? 1}
        onChange={(temperature) => set({ temperature })}
      />
      <SliderField
        label="Top p"
        hint="Only the likeliest tokens that together reach this share"
        min={0.05}
        max={1}
        value={sampling.top_p}
        fallback={defaults.top_p ?? 1}
        onChange={(top_p) => set({ top_p })}
      />
      <div className={styles.pair}>
        <NumberField
          label="Max tokens"
          placeholder="what fits"
          min={1}
          value={sampling.max_tokens}
          onChange={(max_tokens) => set({ max_tokens })}
        />
        <NumberField
          label="Seed"
          placeholder="random"
          value={sampling.seed}
          onChange={(seed) => set({ seed })}
        />
      </div>
      <details className={styles.more}>
        <summary>More</summary>
        <div className={styles.group}>
          <div className={styles.pair}>
            <NumberField
              label="Top k"
              placeholder={topKWords(defaults.top_k)}
              value={sampling.top_k}
              onChange={(top_k) => set({ top_k })}
            />
            <NumberField
              label="Repetition penalty"
              placeholder={String(defaults.repetition_penalty ?? 1)}
              min={0.05}
              max={10}
              step={0.05}
              value={sampling.repetition_penalty}
              onChange={(repetition_penalty) => set({ repetition_penalty })}
            />
          </div>
          <SliderField
            label="Min p"
            hint="Leaves out what is less likely than this share of the likeliest"
            max={1}
            value={sampling.min_p}
            fallback={defaults.min_p ?? 0}
            onChange={(min_p) => set({ min_p })}
          />
          <SliderField
            label="Presence penalty"
            hint="Above 0 it says new things rather than what it has said"
            min={-2}
            max={2}
            value={sampling.presence_penalty}
            fallback={defaults.presence_penalty ?? 0}
            onChange={(presence_penalty) => set({ presence_penalty })}
          />
          <SliderField
            label="Frequency penalty"
            hint="The same, the more the oftener it was said"
            min={-2}
            max={2}
            value={sampling.frequency_penalty}
            fallback={defaults.frequency_penalty ?? 0}
            onChange={(frequency_penalty) => set({ frequency_penalty })}
          />
          <StopField value={sampling.stop} onChange={(stop) => set({ stop })} />
        </div>
      </details>
    </section>
  );
}

function topKWords(fallback: number | undefined): string {
  return fallback ? String(fallback) : "all";
}

interface NumberFieldProps {
  label: string;
  /** What holds while nothing is entered. */
  placeholder: string;
  min?: number;
  max?: number;
  step?: number;
  value: number | null;
  onChange: (value: number | null) => void;
}

/** A number, or null while the field is empty. Whole and not below `min` unless it has a step. */
function NumberField({ value, min = 0, step, onChange, ...rest }: NumberFieldProps) {
  return (
    <NumberInput
      {...rest}
      min={min}
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
      label="Stop strings"
      placeholder="One in each line"
      autosize
      minRows={1}
      maxRows={4}
      value={text}
      onChange={(event) => change(event.currentTarget.value)}
    />
  );
}
