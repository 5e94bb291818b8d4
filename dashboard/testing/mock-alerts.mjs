/** The mock service's alerts and objectives: none is firing, or one is. */

const WINDOWS = ["5m", "1h", "30m", "6h", "2h", "1d", "3d"];
const WEEK = 604_800;
const STEP = 3600;

export function buildAlerts(now, isFiring) {
  if (!isFiring) return buildOwnHour(now);
  return {
    source: "prometheus",
    reason: "",
    now,
    objectives: [
      buildObjective(now, "availability", "99 % of requests are answered", {
        good: 0.9938,
        rates: [21.4, 15.2, 9.8, 3.9, 4.1, 1.2, 0.6],
      }),
      buildObjective(now, "ttft", "99 % of first tokens within 2 s", {
        good: 0.9989,
        rates: [0, 0.4, 0.2, 0.1, 0.1, 0.1, 0.1],
      }),
    ],
    alerts: [
      {
        ...rule("AvailabilityBurn", "page", "Errors spend the week's budget."),
        state: "firing",
        since: now - 260,
        value: "1.5200000000000001e+01",
        description: "0.4 % of the requests failed in the last hour.",
      },
      {
        ...rule("QueueNearFull", "ticket", "The queue is nearly full."),
        state: "pending",
        since: now - 40,
        value: "0.86",
        description: "220 of 256 places in the queue are taken.",
      },
      rule("CPUThrottled", "ticket", "The quota holds the service back."),
      rule("RedisDown", "ticket", "Limits are counted by each process alone."),
    ],
  };
}

/** Without Prometheus: what the service itself can judge. */
function buildOwnHour(now) {
  const hour = { windowSeconds: 3600, step: 60 };
  return {
    source: "history",
    reason: "No Prometheus is set: `LLM_PROMETHEUS_URL` names one.",
    now,
    objectives: [
      buildObjective(now, "availability", "99 % of requests are answered", {
        good: 0.998,
        rates: [0.1, 0.2, 0.1, null, null, null, null],
        ...hour,
      }),
      buildObjective(now, "ttft", "99 % of first tokens within 2 s", {
        good: 1,
        rates: [0, 0, 0, null, null, null, null],
        ...hour,
      }),
    ],
    alerts: [
      rule("AvailabilityBurn", "page", "Errors spend the week's budget."),
      rule("RedisDown", "ticket", "Limits are counted by each process alone."),
    ],
  };
}

function rule(name, severity, summary) {
  const runbook_url = `docs/runbooks.md#${name.toLowerCase()}`;
  const quiet = { state: "inactive", since: null, value: "", description: "" };
  return { name, severity, summary, runbook_url, query: "up == 0", ...quiet };
}

function buildObjective(now, name, title, { good, rates, windowSeconds = WEEK, step = STEP }) {
  const times = Array.from(
    { length: windowSeconds / step + 1 },
    (_, i) => now - windowSeconds + i * step,
  );
  const left = 1 - (1 - good) / 0.01;
  return {
    name,
    title,
    target: 0.99,
    window_seconds: windowSeconds,
    good_ratio: good,
    budget_left_ratio: left,
    num_requests: 48_211,
    burn_rates: WINDOWS.map((window, i) => ({ window, value: rates[i] })),
    history: {
      times,
      budget_left: times.map((_, i) =>
        i < 20 ? null : 1 - (1 - left) * (i / (times.length - 1)) ** 3,
      ),
    },
  };
}

export function buildRunbook(name) {
  const markdown = `**Means.** ${name} says that something is wrong.

\`\`\`bash
docker compose logs --since 30m llm_service
\`\`\`

**Do.** See [QueueNearFull](#queuenearfull) and <b>be calm</b>.`;
  return { name, markdown };
}
