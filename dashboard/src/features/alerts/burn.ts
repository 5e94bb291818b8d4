/** How fast the error budgets burn. The rules are those of prometheus/rules. */

import { firingRules } from "../../api/alerts";
import type { Alerts, Objective } from "../../api/types";

export type Tone = "ok" | "warn" | "bad" | "plain";

export interface BurnRule {
  severity: "page" | "ticket";
  /** A burn rate; 1 spends exactly the whole budget within the objective's window. */
  threshold: number;
  /** The rule alerts if both windows are above: the long one shows that it matters, the short one that it goes on. */
  long: string;
  short: string;
}

export const BURN_RULES: BurnRule[] = [
  { severity: "page", threshold: 13.44, long: "1h", short: "5m" },
  { severity: "page", threshold: 3.5, long: "6h", short: "30m" },
  { severity: "ticket", threshold: 1.4, long: "1d", short: "2h" },
  { severity: "ticket", threshold: 0.98, long: "3d", short: "6h" },
];

/** The windows that the service's own last hour can judge. */
const OWN_WINDOWS = new Set(["5m", "30m", "1h"]);

export interface BurnReading {
  rule: BurnRule;
  long: number | null;
  short: number | null;
  tone: Tone;
  words: string;
}

export function readBurn(
  rule: BurnRule,
  { burn_rates: rates, window_seconds: known }: Pick<Objective, "burn_rates" | "window_seconds">,
): BurnReading {
  if (known < 86_400 && !OWN_WINDOWS.has(rule.long)) {
    return { rule, long: null, short: null, tone: "plain", words: "needs Prometheus" };
  }
  const rateOf = (window: string) => rates.find((rate) => rate.window === window)?.value ?? null;
  const long = rateOf(rule.long);
  const short = rateOf(rule.short);
  const numAbove = [long, short].filter((v) => v !== null && v > rule.threshold).length;
  if (numAbove === 2) {
    const tone = rule.severity === "page" ? "bad" : "warn";
    return { rule, long, short, tone, words: "burning" };
  }
  if (numAbove === 1) return { rule, long, short, tone: "warn", words: "1 of 2" };
  if (long === null && short === null) {
    return { rule, long, short, tone: "plain", words: "no traffic" };
  }
  return { rule, long, short, tone: "ok", words: "ok" };
}

/** With less of the budget than this left, its card warns. */
const LITTLE_LEFT = 0.25;

export function budgetTone({ budget_left_ratio: left }: Objective): Tone {
  if (left === null) return "plain";
  if (left <= 0) return "bad";
  return left < LITTLE_LEFT ? "warn" : "ok";
}

export interface Headline {
  tone: Tone;
  sentence: string;
}

/** The state of all alerts and objectives in one sentence. */
export function headline({ alerts, objectives }: Alerts): Headline {
  const firing = firingRules(alerts);
  const pending = alerts.filter((alert) => alert.state === "pending");
  const others = pending.length > 0 ? `, ${pending.length} pending` : "";
  if (firing.length > 0) {
    const names = firing.map((alert) => alert.name).join(", ");
    const tone = firing.some((alert) => alert.severity === "page") ? "bad" : "warn";
    return { tone, sentence: `Firing: ${names}${others}.` };
  }
  if (pending.length > 0) {
    const words = pending.length === 1 ? "1 is" : `${pending.length} are`;
    return { tone: "warn", sentence: `No alert is firing; ${words} pending.` };
  }
  const spent = objectives.filter((objective) => (objective.budget_left_ratio ?? 1) <= 0);
  if (spent.length > 0) {
    const words = spent.map((objective) => objective.name).join(" and ");
    return {
      tone: "warn",
      sentence: `No alert is firing, but the error budget of ${words} is spent.`,
    };
  }
  if (objectives.every((objective) => objective.budget_left_ratio === null)) {
    return { tone: "plain", sentence: "No alert is firing. There is no traffic to judge yet." };
  }
  return { tone: "ok", sentence: "No alert is firing, and all objectives are met." };
}
