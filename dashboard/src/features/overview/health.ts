/** The state of the service in one sentence. */

import type { Alert, Series, Status } from "../../api/types";
import { pointsOfNow, readQuantile } from "../../lib/quantile";
import { maxValue, meanValue, sumSeries } from "../../lib/series";
import { formatNumber, formatPercent, formatSeconds } from "../../lib/units";
import { TTFT_OBJECTIVE } from "./charts";
import { errorShare, type Tone } from "./tiles";

export interface Health {
  tone: Tone;
  sentence: string;
}

/** Shown while the service does not answer. */
export const UNKNOWN: Health = {
  tone: "bad",
  sentence: "Unknown: these are the last known numbers.",
};

/** Shown before the first answer. */
export const CONNECTING: Health = { tone: "plain", sentence: "Connecting to the service…" };

export function judge(
  status: Status,
  series: Series,
  rangeWords: string,
  firing: Alert[] = [],
): Health {
  if (!status.health.is_ready) {
    return { tone: "warn", sentence: `Not ready: ${status.health.reason || "starting"}.` };
  }
  if (firing.length > 0) return judgeAlerts(firing);
  const outcomes = series.panels.requests?.series ?? [];
  const total = sumSeries(outcomes.map((outcome) => outcome.values));
  const peak = maxValue(total);
  if (!peak) return { tone: "plain", sentence: `Ready. No traffic in the last ${rangeWords}.` };

  const { share } = errorShare(series, total);
  if (share !== null && share >= 0.01) {
    const words = `${formatPercent(share)} of requests failed in the last ${rangeWords}.`;
    return { tone: "bad", sentence: words };
  }
  const p95 = readQuantile(series.panels.ttft, "p95", pointsOfNow(series.step_seconds));
  if (p95 && !p95.isWeak && p95.seconds > TTFT_OBJECTIVE) {
    const over = `above the objective of ${formatSeconds(TTFT_OBJECTIVE)}`;
    return { tone: "warn", sentence: `Slow: TTFT p95 is ${p95.words} now, ${over}.` };
  }
  const rate = `${formatNumber(meanValue(total) ?? 0)} requests/s`;
  const errors = share ? `${formatPercent(share)} errors` : "no errors";
  const speed = p95 ? `; TTFT p95 ${p95.words}` : "";
  return {
    tone: "plain",
    sentence: `Healthy: ${rate}, ${errors} in the last ${rangeWords}${speed}.`,
  };
}

function judgeAlerts(firing: Alert[]): Health {
  const names = firing.map((alert) => alert.name).join(", ");
  const isUrgent = firing.some((alert) => alert.severity === "page");
  const count = firing.length === 1 ? "One alert is firing" : `${firing.length} alerts are firing`;
  return { tone: isUrgent ? "bad" : "warn", sentence: `${count}: ${names}.` };
}
