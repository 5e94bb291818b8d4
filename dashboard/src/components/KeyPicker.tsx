import { NativeSelect } from "@mantine/core";
import styles from "./TimeTools.module.css";

interface KeyPickerProps {
  /** The names to choose from. */
  names: string[];
  /** "" for all keys. */
  value: string;
  onChange: (name: string) => void;
}

/** Chooses the key whose requests are shown. */
export function KeyPicker({ names, value, onChange }: KeyPickerProps) {
  const options = [...new Set([...names, ...(value === "" ? [] : [value])])].sort();
  return (
    <NativeSelect
      className={styles.choice}
      size="xs"
      aria-label="Key of the charts"
      data={[{ value: "", label: "all keys" }, ...options]}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
