import { maxValue, type Value } from "./series";

/** SVG paths of a series, scaled from 0 to its maximum; each run between gaps is a path of its own. */
export function sparklinePath(values: Value[], width: number, height: number) {
  const top = maxValue(values) ?? 0;
  const x = (i: number) => round((i / Math.max(1, values.length - 1)) * width);
  const y = (value: number) => round(height - 1 - (top === 0 ? 0 : value / top) * (height - 2));
  const runs = splitRuns(values).map((run) =>
    run.map(({ index, value }) => `${x(index)} ${y(value)}`),
  );
  const line = runs.map((points) => `M${points.join("L")}${points.length === 1 ? "h0.01" : ""}`);
  const area = runs.map((points) => {
    const from = points[0]?.split(" ")[0] ?? "0";
    const to = points.at(-1)?.split(" ")[0] ?? "0";
    return `M${from} ${height}L${points.join("L")}L${to} ${height}Z`;
  });
  return { line: line.join(""), area: area.join("") };
}

function splitRuns(values: Value[]): { index: number; value: number }[][] {
  const runs: { index: number; value: number }[][] = [];
  values.forEach((value, index) => {
    if (value === null) return;
    const isJoined = index > 0 && (values[index - 1] ?? null) !== null;
    if (!isJoined) runs.push([]);
    runs.at(-1)?.push({ index, value });
  });
  return runs;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
