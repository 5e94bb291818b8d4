import { describe, expect, it } from "vitest";
import type { KeyEntry } from "../../api/types";
import {
  expiryOf,
  expiryWords,
  limitWords,
  nameProblem,
  oldSecretWords,
  stateOf,
  totalWords,
  weekOf,
} from "./keys";

const DAY = 86_400;
const NOW = Date.UTC(2026, 10, 21, 12) / 1000;

const key: KeyEntry = {
  id: "1",
  name: "laptop",
  scopes: ["inference"],
  rpm: 60,
  created_at: 0,
  expires_at: null,
  revoked_at: null,
  last_used_at: null,
  source: "database",
  prefix: "sk-abc",
  old_secret_valid_until: null,
  remaining: null,
  usage: { requests: 0, prompt_tokens: 0, output_tokens: 0, last_7_days: [] },
};

describe("a key", () => {
  it("is live until it expires, and says in time that it soon will", () => {
    expect(stateOf(key, NOW)).toBe("live");
    expect(stateOf({ ...key, expires_at: NOW + 30 * DAY }, NOW)).toBe("live");
    expect(stateOf({ ...key, expires_at: NOW + 3 * DAY }, NOW)).toBe("expiring");
    expect(stateOf({ ...key, expires_at: NOW }, NOW)).toBe("expired");
    expect(stateOf({ ...key, expires_at: NOW, revoked_at: NOW }, NOW)).toBe("revoked");
  });

  it("tells its end in words", () => {
    expect(expiryWords(key, NOW)).toBe("never expires");
    expect(expiryWords({ ...key, expires_at: NOW + 3 * DAY }, NOW)).toBe("expires in 3 days");
    expect(expiryWords({ ...key, expires_at: NOW + 90 * DAY }, NOW)).toBe("expires 19 Feb 2027");
    expect(expiryWords({ ...key, expires_at: NOW - DAY }, NOW)).toBe("expired 20 Nov 2026");
    expect(expiryWords({ ...key, revoked_at: NOW }, NOW)).toBe("revoked 21 Nov 2026");
  });

  it("says when a spent limit frees", () => {
    const left = (requests: number) => ({ ...key, remaining: { requests, reset_seconds: 11.2 } });
    expect(limitWords(left(0))).toBe("spent: 60 / min; the next is accepted in 12 s");
    expect(limitWords(left(3))).toBe("3 of 60 / min left");
    expect(limitWords(key)).toBe("60 of 60 / min left");
    expect(limitWords({ ...key, rpm: 0 })).toBe("no limit");
  });

  it("says the period of its usage", () => {
    const day = { date: "2026-11-21", requests: 2, prompt_tokens: 3, output_tokens: 5 };
    const usage = { ...key.usage, requests: 9, last_7_days: [day, day] };
    expect(weekOf(usage)).toEqual({ requests: 4, promptTokens: 6, outputTokens: 10 });
    expect(totalWords({ ...key, usage, created_at: NOW })).toBe("9 requests since 21 Nov 2026");
    expect(totalWords({ ...key, usage, created_at: null })).toBe("9 requests in all");
  });

  it("tells how long its old secret still opens", () => {
    expect(oldSecretWords(key, NOW)).toBeNull();
    const rotated = { ...key, old_secret_valid_until: NOW + DAY };
    expect(oldSecretWords(rotated, NOW)).toBe("old secret valid for 1 day");
    expect(oldSecretWords(rotated, NOW + DAY)).toBeNull();
  });

  it("cannot have a name that metrics use for no key", () => {
    expect(nameProblem("other", [])).toBe("This name is reserved for metrics.");
    expect(nameProblem("anonymous", [])).toBe("This name is reserved for metrics.");
  });

  it("ends a lifetime after now, or never", () => {
    expect(expiryOf("7d", NOW)).toBe(NOW + 7 * DAY);
    expect(expiryOf("never", NOW)).toBeNull();
  });

  it("has a name that the service takes, and that no other has", () => {
    expect(nameProblem("laptop-2", ["laptop"])).toBeNull();
    expect(nameProblem("laptop", ["laptop"])).toBe("Another key has this name.");
    for (const name of ["", "My key", "ä", "x".repeat(33)]) {
      expect(nameProblem(name, []), name).toContain("1 to 32");
    }
  });
});
