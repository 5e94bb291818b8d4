import { OWN, PRESETS } from "./presets";
import styles from "./PresetPicker.module.css";

interface PresetPickerProps {
  preset: string;
  /** `system` is null for the custom prompt, whose text stays as it is. */
  onChange: (preset: string, system: string | null) => void;
}

export function PresetPicker({ preset, onChange }: PresetPickerProps) {
  return (
    <div>
      <div className={styles.label} id="preset-label">
        Persona
      </div>
      <div className={styles.options} role="group" aria-labelledby="preset-label">
        {[...PRESETS, { name: OWN, system: null }].map(({ name, system }) => (
          <button
            key={name}
            type="button"
            className={styles.option}
            aria-pressed={preset === name}
            onClick={() => onChange(name, system)}
          >
            {name === OWN ? "Custom" : name}
          </button>
        ))}
      </div>
    </div>
  );
}
