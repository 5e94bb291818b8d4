import { Tooltip } from "@mantine/core";
import type { SeriesSource } from "../api/types";
import { RANGES, rangeWords, whyUnavailable, type Range } from "../lib/time-range";
import styles from "./RangePicker.module.css";

interface RangePickerProps {
  /** null while a window in the past is shown. */
  range: Range | null;
  /** undefined before the first answer. */
  source: SeriesSource | undefined;
  onChange: (range: Range) => void;
}

/** Offers the time ranges. Those that the source cannot serve are disabled and say why. */
export function RangePicker({ range, source, onChange }: RangePickerProps) {
  return (
    <div className={styles.picker} role="group" aria-label="Time range">
      {RANGES.map((option) => {
        const reason = whyUnavailable(option, source);
        return (
          <Tooltip key={option} label={reason ?? `The last ${rangeWords(option)}`} openDelay={200}>
            <button
              type="button"
              className={styles.option}
              aria-pressed={option === range}
              aria-disabled={reason !== null}
              aria-label={`${option}: last ${rangeWords(option)}${reason ? `. ${reason}` : ""}`}
              onClick={() => reason === null && onChange(option)}
            >
              {option}
            </button>
          </Tooltip>
        );
      })}
    </div>
  );
}
