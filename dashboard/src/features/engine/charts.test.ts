import { describe, expect, it } from "vitest";
import { isEmpty } from "../../lib/chart";
import { buildCharts, presentPlans } from "../../lib/chart-plan";
import { panelOf, seriesOf } from "../../testing/examples";
import { OPTIONAL, PANELS, WORK } from "./charts";

const draftsOf = (accepted: number[], rejected: number[]) =>
  buildCharts(WORK, seriesOf({ drafts: panelOf({ accepted, rejected }) }))[0];

describe("the engine's charts", () => {
  it("stack accepted and rejected guesses, also where all were wrong", () => {
    const names = draftsOf([0, 0, 0], [0, 2, 0])?.lines.map((line) => line.name);
    expect(names).toEqual(["accepted", "rejected"]);
  });

  it("say that nothing was guessed rather than draw zeros", () => {
    const drafts = draftsOf([0, 0, 0], [0, 0, 0]);
    expect(drafts && isEmpty(drafts)).toBe(true);
    expect(drafts?.emptyWords).toBe("no draft tokens yet");
  });

  it("show a GPU and Redis only where they have numbers", () => {
    const absent = panelOf({ used: [null, null, null] });
    const idle = panelOf({ busy: [0, 0, 0] });
    const series = seriesOf({ gpu_memory: absent, gpu_busy: idle });
    expect(presentPlans(OPTIONAL, series).map((plan) => plan.id)).toEqual(["gpu_busy"]);
    expect(PANELS).toEqual(expect.arrayContaining(["gpu_memory", "gpu_busy", "redis", "drafts"]));
  });
});
