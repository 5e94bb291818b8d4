import { describe, expect, it } from "vitest";
import { budgetLine } from "./budget-line";
import { budgetTone, BURN_RULES, headline, readBurn, type BurnRule } from "./burn";
import { alertOf, answerOf, objectiveOf } from "./examples";

const [FAST, , SLOW] = BURN_RULES as [BurnRule, BurnRule, BurnRule];

describe("readBurn", () => {
  it("burns only when both windows are above the threshold", () => {
    const rates = (long: number | null, short: number | null) =>
      objectiveOf({
        burn_rates: [
          { window: "1h", value: long },
          { window: "5m", value: short },
        ],
      });
    expect(readBurn(FAST, rates(14, 20))).toMatchObject({ tone: "bad", words: "burning" });
    expect(readBurn(FAST, rates(14, 1))).toMatchObject({ tone: "warn", words: "1 of 2" });
    expect(readBurn(FAST, rates(13.44, 13.44))).toMatchObject({ tone: "ok", words: "ok" });
    expect(readBurn(FAST, rates(null, null))).toMatchObject({ tone: "plain", words: "no traffic" });
    expect(readBurn(FAST, objectiveOf({ burn_rates: [] }))).toMatchObject({
      long: null,
      short: null,
    });
  });

  it("calls for a ticket, not for a page, where it burns slowly", () => {
    const slow = objectiveOf({
      burn_rates: [
        { window: "1d", value: 2 },
        { window: "2h", value: 2 },
      ],
    });
    expect(readBurn(SLOW, slow)).toMatchObject({ tone: "warn", words: "burning" });
  });

  it("judges an hour by the rule that an hour can judge, and says what the others need", () => {
    const hour = objectiveOf({
      window_seconds: 3600,
      burn_rates: [
        { window: "1h", value: 14 },
        { window: "5m", value: 20 },
      ],
    });
    expect(readBurn(FAST, hour)).toMatchObject({ tone: "bad", words: "burning" });
    expect(readBurn(SLOW, hour)).toMatchObject({ tone: "plain", words: "needs Prometheus" });
  });
});

it("colours what is left of the budget", () => {
  const tones = [0.9, 0.2, 0, -3, null].map((left) =>
    budgetTone(objectiveOf({ budget_left_ratio: left })),
  );
  expect(tones).toEqual(["ok", "warn", "bad", "bad", "plain"]);
});

describe("headline", () => {
  it("names what fires, before all else", () => {
    const alerts = [
      alertOf({ name: "TTFTBurn", state: "pending" }),
      alertOf({ name: "TargetDown", state: "firing", severity: "page" }),
    ];
    expect(headline(answerOf({ alerts }))).toEqual({
      tone: "bad",
      sentence: "Firing: TargetDown, 1 pending.",
    });
  });

  it("says that nothing fires, and what is not well all the same", () => {
    expect(headline(answerOf({}))).toMatchObject({ tone: "ok" });
    const pending = [alertOf({ state: "pending" })];
    expect(headline(answerOf({ alerts: pending })).sentence).toBe(
      "No alert is firing; 1 is pending.",
    );
    const spent = [objectiveOf({ name: "ttft", budget_left_ratio: -0.2 })];
    expect(headline(answerOf({ objectives: spent })).sentence).toContain(
      "the error budget of ttft is spent",
    );
    const idle = [objectiveOf({ budget_left_ratio: null })];
    expect(headline(answerOf({ objectives: idle }))).toMatchObject({ tone: "plain" });
  });
});

describe("budgetLine", () => {
  it("runs from 100 % at the top to 0 at the bottom, and leaves gaps open", () => {
    expect(budgetLine([1, null, 0.5, 0], 90, 40)).toEqual({
      path: "M0.00 0.00M60.00 20.00L90.00 40.00",
      zero: 40,
      bottom: 0,
    });
  });

  it("makes room below 0 for a budget that is overspent, but not without end", () => {
    expect(budgetLine([1, -0.6], 90, 40)).toMatchObject({ zero: 25, bottom: -0.6 });
    expect(budgetLine([1, -50], 90, 40)).toEqual({
      path: "M0.00 0.00L90.00 40.00",
      zero: 20,
      bottom: -1,
    });
  });
});
