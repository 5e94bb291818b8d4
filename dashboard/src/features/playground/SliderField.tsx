import { Slider } from "@mantine/core";
import { useId } from "react";
import styles from "./SliderField.module.css";

interface SliderFieldProps {
  label: string;
  hint: string;
  max: number;
  value: number;
  onChange: (value: number) => void;
}

export function SliderField({ label, hint, max, value, onChange }: SliderFieldProps) {
  const id = useId();
  return (
    <div>
      <div className={styles.head}>
        <span id={id} className={styles.label}>
          {label}
        </span>
        <span className={styles.value}>{value.toFixed(2)}</span>
      </div>
      <Slider
        size="sm"
        label={null}
        min={0}
        max={max}
        step={0.05}
        value={value}
        onChange={onChange}
        thumbLabel={label}
        aria-labelledby={id}
      />
      <div className={styles.hint}>{hint}</div>
    </div>
  );
}
