/** Draws a Chart with uPlot. All charts of a page share the crosshair and the zoom. */

import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useEffectEvent, useRef, type KeyboardEvent } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { isEmpty, summarize, type Chart } from "../lib/chart";
import type { ChartView } from "../lib/chart-view";
import { plotData, plotOptions, plotShape } from "../lib/plot";
import styles from "./TimeChart.module.css";

export interface TimeChartProps {
  chart: Chart;
  view: ChartView;
  /** The point under the crosshair, or null. */
  cursor: number | null;
  onCursor: (index: number | null) => void;
}

const HEIGHT = 168;

export function TimeChart({ chart, view, cursor, onCursor }: TimeChartProps) {
  const { window: shown } = view;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const scheme = useComputedColorScheme();
  const shape = plotShape(chart);
  const getWindow = useEffectEvent(() => shown);
  const getStart = useEffectEvent(() => view.startedAt);
  const zoom = useEffectEvent(view.onZoom);
  const moveTo = useEffectEvent(onCursor);
  const draw = useEffectEvent((element: HTMLElement) => {
    const size = { width: element.clientWidth, height: HEIGHT };
    const options = plotOptions(chart, size, themeColor, {
      getWindow,
      getStart,
      onZoom: zoom,
      onCursor: moveTo,
    });
    return new uPlot(options, plotData(chart), element);
  });

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const drawn = draw(element);
    plot.current = drawn;
    const observer = new ResizeObserver(() => {
      drawn.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
    };
  }, [shape, scheme]);

  useEffect(() => {
    plot.current?.setData(plotData(chart));
  }, [chart, shown]);

  const moveCursor = (event: KeyboardEvent) => {
    const index = nextIndex(event.key, cursor, chart.times.length);
    const time = index === null ? undefined : chart.times[index];
    if (time === undefined || !plot.current) return;
    event.preventDefault();
    plot.current.setCursor({ left: plot.current.valToPos(time, "x"), top: 0 });
  };

  return (
    <div className={styles.frame}>
      {/* The arrow keys move the crosshair, so the chart is focusable. */}
      {/* eslint-disable jsx-a11y/no-noninteractive-tabindex, jsx-a11y/no-noninteractive-element-interactions */}
      <div
        ref={host}
        className={styles.plot}
        role="img"
        aria-label={summarize(chart, view.rangeWords)}
        tabIndex={0}
        onKeyDown={moveCursor}
      />
      {/* eslint-enable */}
      {isEmpty(chart) && <div className={styles.empty}>{chart.emptyWords}</div>}
    </div>
  );
}

function themeColor(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function nextIndex(key: string, current: number | null, length: number): number | null {
  const from = current ?? length;
  if (key === "ArrowLeft") return Math.max(0, from - 1);
  if (key === "ArrowRight") return Math.min(length - 1, from + 1);
  return null;
}
