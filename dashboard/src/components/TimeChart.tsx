/** Draws a Chart with uPlot. All charts of a page share the crosshair and the zoom. */

import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useEffectEvent, useRef, type KeyboardEvent, type RefObject } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { isEmpty, summarize, type Chart } from "../lib/chart";
import type { ChartView } from "../lib/chart-view";
import { plotData, plotOptions, plotShape } from "../lib/plot";
import { themeColor } from "./theme-color";
import styles from "./TimeChart.module.css";

export interface TimeChartProps {
  chart: Chart;
  view: ChartView;
  /** The point under the crosshair, or null. */
  cursor: number | null;
  onCursor: (index: number | null) => void;
  /** A point was clicked, or chosen with Enter. */
  onPick: (index: number) => void;
  /** Set to the plot while it is drawn. */
  plotRef: RefObject<uPlot | null>;
}

const HEIGHT = 168;
/** A pointer that moves further between its press and its release has dragged. */
const CLICK_PIXELS = 4;

export function TimeChart({ chart, view, cursor, onCursor, onPick, plotRef }: TimeChartProps) {
  const { window: shown, marks } = view;
  const host = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme();
  const shape = plotShape(chart);
  const getWindow = useEffectEvent(() => shown);
  const getMarks = useEffectEvent(() => marks);
  const zoom = useEffectEvent(view.onZoom);
  const moveTo = useEffectEvent(onCursor);
  const pick = useEffectEvent(onPick);
  const draw = useEffectEvent((element: HTMLElement) => {
    const size = { width: element.clientWidth, height: HEIGHT };
    const options = plotOptions(chart, size, themeColor, {
      getWindow,
      getMarks,
      onZoom: zoom,
      onCursor: moveTo,
    });
    return new uPlot(options, plotData(chart), element);
  });

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const drawn = draw(element);
    plotRef.current = drawn;
    const stopListening = listenToClicks(drawn, pick);
    const observer = new ResizeObserver(() => {
      drawn.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      stopListening();
      drawn.destroy();
      plotRef.current = null;
    };
  }, [shape, scheme, plotRef]);

  useEffect(() => {
    plotRef.current?.setData(plotData(chart));
  }, [chart, shown, marks, plotRef]);

  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && cursor !== null) {
      onPick(cursor);
      return;
    }
    const index = nextIndex(event.key, cursor, chart.times.length);
    const time = index === null ? undefined : chart.times[index];
    if (time === undefined || !plotRef.current) return;
    event.preventDefault();
    plotRef.current.setCursor({ left: plotRef.current.valToPos(time, "x"), top: 0 });
  };

  return (
    <div className={styles.frame}>
      {/* The arrow keys move the crosshair: as an application it gets them from screen readers. */}
      {/* eslint-disable jsx-a11y/no-noninteractive-tabindex, jsx-a11y/no-noninteractive-element-interactions */}
      <div
        ref={host}
        className={styles.plot}
        role="application"
        aria-roledescription="chart"
        aria-label={summarize(chart, view.words)}
        tabIndex={0}
        onKeyDown={onKey}
      />
      {/* eslint-enable */}
      {isEmpty(chart) && <div className={styles.empty}>{chart.emptyWords}</div>}
    </div>
  );
}

/** Calls `onClick` with the point under a click, but not at the end of a drag. */
function listenToClicks(plot: uPlot, onClick: (index: number) => void): () => void {
  let pressedAt = 0;
  const press = (event: MouseEvent) => {
    pressedAt = event.clientX;
  };
  const click = (event: MouseEvent) => {
    const index = plot.cursor.idx;
    if (index !== null && index !== undefined && Math.abs(event.clientX - pressedAt) < CLICK_PIXELS)
      onClick(index);
  };
  plot.over.addEventListener("mousedown", press);
  plot.over.addEventListener("click", click);
  return () => {
    plot.over.removeEventListener("mousedown", press);
    plot.over.removeEventListener("click", click);
  };
}

function nextIndex(key: string, current: number | null, length: number): number | null {
  const from = current ?? length;
  if (key === "ArrowLeft") return Math.max(0, from - 1);
  if (key === "ArrowRight") return Math.min(length - 1, from + 1);
  return null;
}
