import type { Series } from "../api/types";
import type { TimeWindow } from "../lib/chart-view";
import type { Range } from "../lib/time-range";
import { RangePicker } from "./RangePicker";
import { SourceBadge } from "./SourceBadge";
import { ZoomBadge } from "./ZoomBadge";
import styles from "./TimeTools.module.css";

interface TimeToolsProps {
  series: Series | undefined;
  range: Range;
  onRange: (range: Range) => void;
  zoom: TimeWindow | null;
  onZoom: (zoom: TimeWindow | null) => void;
}

/** Controls for the time range of the charts, with the source of their numbers. */
export function TimeTools({ series, range, onRange, zoom, onZoom }: TimeToolsProps) {
  return (
    <div className={styles.tools}>
      <ZoomBadge zoom={zoom} onReset={() => onZoom(null)} />
      {series && <SourceBadge source={series.source} step={series.step_seconds} end={series.end} />}
      <RangePicker range={range} source={series?.source} onChange={onRange} />
    </div>
  );
}
