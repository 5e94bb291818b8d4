import { NativeSelect } from "@mantine/core";
import type { ReactNode } from "react";
import type { Series, SeriesSource } from "../api/types";
import type { TimeChoice } from "../lib/chart-view";
import { COMPARISONS, whyNotComparable, type Comparison } from "../lib/compare";
import { RangePicker } from "./RangePicker";
import { SourceBadge } from "./SourceBadge";
import { ZoomBadge } from "./ZoomBadge";
import styles from "./TimeTools.module.css";

interface TimeToolsProps {
  series: Series | undefined;
  time: TimeChoice;
  /** More controls, such as the choice of a key. */
  children?: ReactNode;
}

/** Controls for the time of the charts and what they are compared with, and their source. */
export function TimeTools({ series, time, children }: TimeToolsProps) {
  return (
    <div className={styles.tools}>
      <ZoomBadge zoom={time.zoom} onReset={() => time.setZoom(null)} />
      {series && <SourceBadge source={series.source} step={series.step_seconds} end={series.end} />}
      {children}
      {series && <ComparePicker time={time} source={series.source} end={series.end} />}
      <RangePicker
        range={time.zoom ? null : time.range}
        source={series?.source}
        onChange={time.setRange}
      />
    </div>
  );
}

const WORDS: Record<Comparison, string> = {
  "": "no comparison",
  hour: "the hour before",
  day: "the day before",
  week: "the week before",
};

interface ComparePickerProps {
  time: TimeChoice;
  source: SeriesSource;
  end: number;
}

/** What the source does not reach back to is disabled and says so. */
function ComparePicker({ time, source, end }: ComparePickerProps) {
  const options = COMPARISONS.map((value) => {
    const reason = value === "" ? null : whyNotComparable(value, end, source);
    const label = reason === null ? WORDS[value] : `${WORDS[value]} (not kept)`;
    return { value, label, disabled: reason !== null && value !== time.compared };
  });
  const reason = whyNotComparable("hour", end, source);
  return (
    <NativeSelect
      className={styles.choice}
      size="xs"
      aria-label="Compare with"
      title={reason ?? "Draws a pale line of that time into each chart"}
      data={options}
      value={time.compared}
      onChange={(event) => time.setCompared(event.currentTarget.value as Comparison)}
    />
  );
}
