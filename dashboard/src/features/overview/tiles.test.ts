import { describe, expect, it } from "vitest";
import { nowOf, panelOf, seriesOf } from "../../testing/examples";
import { buildTiles, type Tile } from "./tiles";

type Changes = Parameters<typeof nowOf>[0];

function tileOf(label: string, changes: Changes = {}): Tile {
  const tile = buildTiles(nowOf(changes), undefined).find((each) => each.label === label);
  if (!tile) throw new Error(`no tile ${label}`);
  return tile;
}

describe("tiles", () => {
  it("are the same on every range: the series give only the small lines", () => {
    const week = seriesOf({
      requests: panelOf({ stop: [9, 9, 9], error: [1, 1, 1] }),
      ttft: panelOf({ p95: [23.9, 23.9, 23.9] }, [40, 40, 40]),
      memory: panelOf({ total: [1, 2, 3] }),
    });
    const without = (tiles: Tile[]) => tiles.map((tile) => ({ ...tile, values: [] }));
    const tiles = buildTiles(nowOf(), week);
    expect(without(tiles)).toEqual(without(buildTiles(nowOf(), undefined)));
    expect(tiles[0]?.values).toEqual([10, 10, 10]);
    expect(tiles[7]?.values).toEqual([1, 2, 3]);
  });

  it("give the speed of one stream beside the inter-token latency", () => {
    expect(tileOf("ITL p95")).toMatchObject({ value: "12 ms", detail: "125 tok/s each" });
  });

  it("write a bound where only a bound is known", () => {
    const bounded = (seconds: number, bound: "<" | ">") =>
      tileOf("ITL p95", { inter_token: { p95: { seconds, bound } } });
    expect(bounded(0.005, "<").value).toBe("< 5 ms");
    expect(bounded(5, ">")).toMatchObject({ value: "> 5 s", tone: "bad" });
  });

  it("turn bad above the objective, unless there are too few samples", () => {
    const slow = { p95: { seconds: 5, bound: "" as const } };
    expect(tileOf("TTFT p95", { ttft: slow }).tone).toBe("bad");
    expect(tileOf("TTFT p95", { ttft: { ...slow, count: 7 } })).toMatchObject({
      tone: "plain",
      isWeak: true,
      detail: "only 7 samples",
    });
  });

  it("colour the memory by what cannot be freed, and show the total", () => {
    const memory = (held_bytes: number) =>
      tileOf("Memory, total", { memory: { total_bytes: 1000, held_bytes, limit_bytes: 1024 } });
    expect(memory(500)).toMatchObject({ value: "1000 B", detail: "of 1 KiB", tone: "plain" });
    expect(memory(850).tone).toBe("warn");
    expect(memory(990).tone).toBe("bad");
  });
});
