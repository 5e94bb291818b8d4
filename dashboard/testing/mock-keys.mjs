/** The keys of the mock service, in memory. Every start begins with the same keys. */

const DAY = 86_400;
const now = () => Date.now() / 1000;

function usageOf(seed) {
  const days = Array.from({ length: 7 }, (_, i) => ({
    date: new Date((now() - (6 - i) * DAY) * 1000).toISOString().slice(0, 10),
    requests: (seed * (i + 3) * 37) % 400,
    prompt_tokens: (seed * (i + 3) * 3700) % 40_000,
    output_tokens: (seed * (i + 3) * 5100) % 60_000,
  }));
  const sum = (name) => days.reduce((all, day) => all + day[name], 0);
  return {
    requests: sum("requests"),
    prompt_tokens: sum("prompt_tokens"),
    output_tokens: sum("output_tokens"),
    last_7_days: days,
  };
}

function keyOf(name, changes = {}) {
  return {
    id: `id-${name}`,
    name,
    scopes: ["inference"],
    rpm: 60,
    created_at: now() - 20 * DAY,
    expires_at: now() + 70 * DAY,
    revoked_at: null,
    last_used_at: now() - 40,
    source: "database",
    prefix: "sk-Ab3dE",
    old_secret_valid_until: null,
    remaining: { requests: 41, reset_seconds: 12 },
    usage: usageOf(name.length),
    ...changes,
  };
}

export class MockKeys {
  keys = [
    keyOf("laptop"),
    keyOf("batch-jobs", { rpm: 600, remaining: { requests: 90, reset_seconds: 3 } }),
    keyOf("spent", { rpm: 5, remaining: { requests: 0, reset_seconds: 11.2 } }),
    keyOf("visitor", { expires_at: now() + 3 * DAY, last_used_at: null, usage: usageOf(0) }),
    keyOf("old-laptop", { revoked_at: now() - DAY, remaining: null }),
    keyOf("admin", {
      scopes: ["admin", "inference", "metrics"],
      rpm: 0,
      source: "settings",
      prefix: "",
      expires_at: null,
      created_at: null,
      remaining: null,
    }),
  ];

  /** The answer to a call under /api/keys: status and body. */
  answer(method, path, body) {
    const [, id, verb] = /^\/api\/keys(?:\/([^/]+))?(?:\/(rotate))?$/.exec(path) ?? [];
    if (method === "GET") return [200, { keys: this.keys }];
    if (method === "POST" && !id) return this.create(body);
    const key = this.keys.find((candidate) => candidate.id === id);
    if (!key) return [404, "There is no such key."];
    if (method === "DELETE") key.revoked_at = now();
    if (verb) key.old_secret_valid_until = body?.overlap_seconds === 0 ? null : now() + DAY;
    if (method === "PATCH") Object.assign(key, body);
    return [200, verb ? { ...key, key: `sk-rotated-${key.name}` } : key];
  }

  create({ name, ...terms }) {
    if (this.keys.some((key) => key.name === name && key.revoked_at === null))
      return [409, `There is a key named ${name}.`];
    const fresh = { created_at: now(), last_used_at: null, usage: usageOf(0) };
    const key = keyOf(name, { ...terms, ...fresh, remaining: null });
    this.keys.unshift(key);
    return [201, { ...key, key: `sk-secret-of-${name}` }];
  }
}
