import { Slider } from "@mantine/core";
import { useId } from "react";
import { STEP } from "./sampling-fields";
import styles from "./SliderField.module.css";

interface SliderFieldProps {
  label: string;
  hint: string;
  min: number;
  max: number;
  /** null shows and uses the default. */
  value: number | null;
  /** The default, which the model or the service sets. */
  fallback: number;
  onChange: (value: number | null) => void;
}

export function SliderField({
  label,
  hint,
  min,
  max,
  value,
  fallback,
  onChange,
}: SliderFieldProps) {
  const id = useId();
  const shown = value ?? fallback;
  return (
    <div>
      <div className={styles.head}>
        <span id={id} className={styles.label}>
          {label}
        </span>
        {value === null ? (
          <span className={styles.default}>{shown.toFixed(2)} (default)</span>
        ) : (
          <>
            <button
              type="button"
              className={styles.reset}
              aria-label={`${label}: reset to the default, ${fallback.toFixed(2)}`}
              onClick={() => onChange(null)}
            >
              reset
            </button>
            <span>{shown.toFixed(2)}</span>
          </>
        )}
      </div>
      <Slider
        size="sm"
        label={null}
        min={min}
        max={max}
        step={STEP}
        value={shown}
        onChange={onChange}
        thumbLabel={label}
        aria-labelledby={id}
      />
      <div className={styles.hint}>{hint}</div>
    </div>
  );
}
