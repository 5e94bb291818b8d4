import { describe, expect, it } from "vitest";
import { INCIDENTS, nowOf } from "../../testing/examples";
import { judge } from "./health";
import { buildTiles } from "./tiles";

describe.each(INCIDENTS)("the incident %s", (_, incident) => {
  const now = nowOf(incident.now);

  it("has its own words and colour", () => {
    const { state, tone, sentence, also } = judge(now);
    expect({ state, tone, sentence }).toEqual({
      state: incident.state,
      tone: incident.tone,
      sentence: incident.sentence,
    });
    if (incident.also) expect(also).toContain(incident.also);
  });

  it("shows in the tiles", () => {
    const tiles = buildTiles(now, undefined);
    for (const [label, expected] of Object.entries(incident.tiles)) {
      const tile = tiles.find((candidate) => candidate.label === label);
      expect([tile?.value ?? tile?.emptyWords, tile?.detail, tile?.tone]).toEqual(expected);
    }
  });
});

describe("the sentence", () => {
  const runs = (ago: number, ...crashes: Partial<{ num_cut: number }>[]) => ({
    runs: {
      started_at: 1_000_000 - ago,
      crashes: crashes.map((crash) => ({
        started_at: 990_000,
        ended_at: 1_000_000 - ago - 10,
        reason: "out_of_memory" as const,
        detail: "",
        num_cut: 1,
        ...crash,
      })),
    },
  });

  it("still tells of a crash an hour later, beside how it goes since", () => {
    const health = judge(nowOf(runs(720, {})));
    expect(health).toMatchObject({ state: "crashed-since", tone: "warn" });
    expect(health.sentence).toBe(
      "Crashed 12 min ago: the kernel ended a process for lack of memory, probably this one; 1 open request was cut off.",
    );
    expect(health.also).toEqual(["4 requests/s, no errors in the last minute; TTFT p95 16.6 ms."]);
    expect(judge(nowOf(runs(3700, {}))).state).toBe("healthy");
    expect(judge(nowOf(runs(720, {}, {}))).sentence).toContain("2 crashes in the last hour");
  });

  it("tells of a stop and a start for some minutes, and what the stop cut off", () => {
    const previous = {
      started_at: 0,
      ended_at: 999_900,
      reason: "stopped" as const,
      detail: "SIGTERM",
      num_cut: 2,
    };
    const restarted = nowOf(runs(40), { runs: { previous } });
    expect(judge(restarted)).toMatchObject({
      state: "restarted",
      tone: "info",
      sentence: "Restarted 40 s ago: it was stopped (SIGTERM); 2 open requests were cut off.",
    });
    expect(judge(nowOf(runs(400), { runs: { previous } })).state).toBe("healthy");
  });

  it("calls a few failures a verdict only if they are many of the few", () => {
    const failing = (failed: number, total: number) =>
      judge(
        nowOf({
          requests: {
            total,
            counted: total,
            failed,
            by_outcome: { stop: total - failed, error: failed, length: 0, cancelled: 0 },
          },
        }),
      );
    expect(failing(1, 3)).toMatchObject({
      state: "few",
      tone: "warn",
      sentence: "3 requests in the last minute, 1 failed: no verdict on so few.",
    });
    expect(failing(6, 8)).toMatchObject({ state: "failing", tone: "bad" });
    expect(failing(6, 50).sentence).toBe(
      "Failing: 12 % of requests failed in the last minute (6 of 50).",
    );
    expect(failing(1, 1000).sentence).toContain("Healthy: 4 requests/s, 0.1 % errors");
  });

  it("mentions a few refusals, and makes many of them the headline", () => {
    const limited = (limit: number) =>
      judge(nowOf({ requests: { total: 240 }, refused: { limit }, limits: { requests: limit } }));
    expect(limited(3).sentence).toContain("no errors, 3 over a limit in the last minute");
    expect(limited(12)).toMatchObject({ state: "limited", tone: "warn" });
  });

  it("counts callers that an address limit refused, who are no requests of a key", () => {
    const strangers = judge(nowOf({ limits: { ip: 240 } }));
    expect(strangers.sentence).toBe(
      "Refusing: 240 of 480 requests were over a limit in the last minute (addresses without a valid key).",
    );
  });

  it("tells of a request that waits long, before any first token is measured", () => {
    const waiting = nowOf({ ttft: { count: 0, p95: null, longest_wait_seconds: 24 } });
    expect(judge(waiting)).toMatchObject({
      state: "slow",
      sentence: "Slow: a request has waited 24 s for its first token.",
    });
  });

  it("says of how many seconds it speaks just after a start", () => {
    expect(judge(nowOf({ window_seconds: 12 })).sentence).toContain("in the 12 s since the start");
  });

  it("puts what is worse first and keeps the rest", () => {
    const worst = judge(
      nowOf({
        refused: { queue_full: 10, limit: 100 },
        limits: { requests: 100, redis_away_seconds: 5 },
      }),
    );
    expect(worst.state).toBe("queue-full");
    expect(worst.also.join(" ")).toMatch(/over a limit.*Redis has been away/);
  });

  it("names firing alerts, and is bad only if one is urgent", () => {
    const firing = (name: string, severity: string) => ({
      name,
      severity,
      state: "firing" as const,
      since: null,
      value: "",
      summary: "",
      description: "",
      runbook_url: "",
      query: "",
    });
    expect(judge(nowOf(), [firing("CPUThrottled", "ticket")])).toMatchObject({
      tone: "warn",
      sentence: "One alert is firing: CPUThrottled.",
    });
    expect(
      judge(nowOf(), [firing("NotReady", "page"), firing("CPUThrottled", "ticket")]),
    ).toMatchObject({ tone: "bad", sentence: "2 alerts are firing: NotReady, CPUThrottled." });
  });
});
