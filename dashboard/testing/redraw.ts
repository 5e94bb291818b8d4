/** Draws as many charts as the overview with our plot options, and times each redraw. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Chart } from "../src/lib/chart";
import { plotData, plotOptions } from "../src/lib/plot";

const NUM_CHARTS = 12;
const NUM_LINES = 5;
const NUM_POINTS = 600;
const NUM_REDRAWS = 60;

declare global {
  interface Window {
    /** Redraws everything NUM_REDRAWS times. */
    redraw?: () => Promise<number>;
  }
}

function chartAt(n: number, shift: number): Chart {
  const times = Array.from({ length: NUM_POINTS }, (_, i) => i * 2 + shift);
  const lines = Array.from({ length: NUM_LINES }, (_, k) => ({
    name: `line ${k}`,
    values: times.map((time) => 1 + Math.sin(time / (20 + k) + n)),
    color: "series-1",
    kind: n % 3 === 0 ? ("stack" as const) : ("line" as const),
    ...(k % 2 ? { dash: [6, 3] } : {}),
  }));
  const id = String(n);
  return { id, title: id, unitWords: "", unit: "s", times, lines, emptyWords: "" };
}

let edge = 0;
const plots = Array.from({ length: NUM_CHARTS }, (_, n) => {
  const host = document.body.appendChild(document.createElement("div"));
  const chart = chartAt(n, 0);
  const options = plotOptions(chart, { width: 380, height: 168 }, () => "#2166b5", {
    getWindow: () => [edge, edge + NUM_POINTS * 2],
    getMarks: () => [],
    onZoom: () => undefined,
    onCursor: () => undefined,
  });
  return new uPlot(options, plotData(chart), host);
});

// Created in advance, so that only the drawing is measured.
const rounds = Array.from({ length: NUM_REDRAWS }, (_, round) =>
  plots.map((_, n) => plotData(chartAt(n, 2 * round))),
);

window.redraw = async () => {
  for (const [round, data] of rounds.entries()) {
    edge = 2 * round;
    plots.forEach((plot, n) => plot.setData(data[n] ?? [[]]));
    // uPlot paints in a microtask, before the next frame.
    await new Promise(requestAnimationFrame);
  }
  return NUM_REDRAWS;
};
