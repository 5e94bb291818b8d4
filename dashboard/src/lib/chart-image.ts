/** A chart as a PNG: the plot as it is on the screen, below its title and its legend. */

import { lineValue, type Chart } from "./chart";
import { latestIndex } from "./series";

const PADDING = 14;
const LINE = 18;

export async function chartImage(
  plot: HTMLCanvasElement,
  chart: Chart,
  words: string,
  palette: (color: string) => string,
): Promise<Blob | null> {
  const scale = devicePixelRatio;
  const image = document.createElement("canvas");
  const ctx = image.getContext("2d");
  if (!ctx) return null;
  const width = plot.width / scale + 2 * PADDING;
  const font = (weight: number, size: number) =>
    `${weight} ${size}px "Inter Variable", system-ui, sans-serif`;
  const rows = legendRows(ctx, chart, width - 2 * PADDING, font(400, 12));
  const top = PADDING + LINE * (2 + rows.length);
  image.width = width * scale;
  image.height = (top + plot.height / scale + PADDING) * scale;
  ctx.scale(scale, scale);
  ctx.fillStyle = palette("surface");
  ctx.fillRect(0, 0, width, image.height / scale);
  ctx.textBaseline = "top";
  ctx.fillStyle = palette("text");
  ctx.font = font(600, 14);
  ctx.fillText(chart.title, PADDING, PADDING);
  ctx.fillStyle = palette("muted");
  ctx.font = font(400, 12);
  ctx.fillText(`${chart.unitWords} · ${words}`, PADDING, PADDING + LINE);
  rows.forEach((row, i) => {
    for (const { left, color, text } of row) {
      const y = PADDING + LINE * (2 + i);
      ctx.fillStyle = palette(color);
      ctx.fillRect(PADDING + left, y + 5, 12, 3);
      ctx.fillStyle = palette("text");
      ctx.fillText(text, PADDING + left + 16, y);
    }
  });
  ctx.drawImage(plot, PADDING, top, plot.width / scale, plot.height / scale);
  return new Promise((resolve) => image.toBlob(resolve, "image/png"));
}

interface Entry {
  left: number;
  color: string;
  text: string;
}

/** The lines with their latest values, broken into rows of `width`. */
function legendRows(
  ctx: CanvasRenderingContext2D,
  chart: Chart,
  width: number,
  font: string,
): Entry[][] {
  if (chart.isHeatmap) return [];
  ctx.font = font;
  const rows: Entry[][] = [];
  let left = Infinity;
  for (const line of chart.lines) {
    const value = lineValue(chart, line, latestIndex(line.values) ?? -1);
    const text = `${line.name} ${value ?? "–"}`;
    const size = 16 + ctx.measureText(text).width + 14;
    if (left + size > width) {
      rows.push([]);
      left = 0;
    }
    rows.at(-1)?.push({ left, color: line.color, text });
    left += size;
  }
  return rows;
}
