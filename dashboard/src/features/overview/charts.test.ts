import { describe, expect, it } from "vitest";
import type { Panel } from "../../api/types";
import { panelOf, seriesOf } from "../../testing/examples";
import { buildCharts } from "../../lib/chart-plan";
import { PANELS, RESOURCES, TRAFFIC } from "./charts";

function chartOf(id: string, panel: Panel) {
  const series = seriesOf({ [id]: panel });
  const chart = buildCharts([...TRAFFIC, ...RESOURCES], series).find(
    (candidate) => candidate.id === id,
  );
  if (!chart) throw new Error(`no chart ${id}`);
  return chart;
}

const names = (id: string, panel: Panel) => chartOf(id, panel).lines.map((line) => line.name);

describe("charts", () => {
  it("exist only for panels that the service sent", () => {
    expect(buildCharts(TRAFFIC, seriesOf({})).map((chart) => chart.id)).toEqual([]);
  });

  it("leave out outcomes that never happened, except stop", () => {
    const panel = panelOf({ error: [0, 1, 0], length: [0, 0, 0], stop: [0, 0, 0] });
    expect(names("requests", panel)).toEqual(["stop", "error"]);
  });

  it("name every kind of error that happened, or say none", () => {
    const some = panelOf({ rate_limit: [0, 1, 0], oom: [0, 0, 0], new_kind: [1, null, 0] });
    expect(names("errors", some)).toEqual(["rate limit", "new kind"]);
    expect(chartOf("errors", panelOf({ oom: [0, 0, 0] })).emptyWords).toBe("none");
    expect(chartOf("errors", panelOf({ oom: [null] })).emptyWords).toBe("no traffic");
  });

  it("draw prefix hits, which are another panel, with the KV cache in use", () => {
    const panels = {
      kv_ratio: panelOf({ used: [0.25, null, 0.75] }),
      prefix_hits: panelOf({ cached: [0.5, null, null] }),
    };
    const [chart] = buildCharts(RESOURCES, seriesOf(panels));
    expect(chart?.lines).toMatchObject([
      { name: "used", values: [0.25, null, 0.75] },
      { name: "prefix hits", values: [0.5, null, null] },
    ]);
    expect(PANELS).toEqual(expect.arrayContaining(Object.keys(panels)));
  });

  it("draw the objective with the quantiles", () => {
    const chart = chartOf("ttft", panelOf({ p50: [1, 1, 1] }, [1, 2, 3]));
    expect(chart.samples).toEqual([1, 2, 3]);
    expect(chart.lines.at(-1)).toMatchObject({ name: "objective", values: [2, 2, 2] });
  });

  it("distinguish lines by dash as well as by colour", () => {
    const quantiles = { p50: [1, 1, 1], p95: [1, 1, 1], p99: [1, 1, 1] };
    const memory = { weights: [1], kv_cache: [1], compute: [1], other: [1], file: [1], limit: [1] };
    for (const [id, panel] of [
      ["ttft", panelOf(quantiles)],
      ["memory", panelOf(memory)],
    ] as const) {
      const looks = chartOf(id, panel).lines.map(({ dash, kind }) => JSON.stringify([dash, kind]));
      expect(new Set(looks).size, id).toBe(looks.length);
    }
  });
});
