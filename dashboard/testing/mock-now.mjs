/** The mock service's last minute: healthy, or one of the incidents of src/testing/incidents.json. */
import { readFileSync } from "node:fs";

const { healthy, incidents } = JSON.parse(
  readFileSync(new URL("../src/testing/incidents.json", import.meta.url), "utf8"),
);

export function isIncident(state) {
  return state in incidents;
}

/** The answer to GET /api/now; the times of the file are moved to `now`. */
export function buildNow(state, now) {
  return moved(merged(healthy, incidents[state]?.now ?? {}), now - healthy.now);
}

function merged(whole, changes) {
  if (!isObject(whole) || !isObject(changes)) return changes;
  const keys = new Set([...Object.keys(whole), ...Object.keys(changes)]);
  return Object.fromEntries(
    [...keys].map((key) => [key, key in changes ? merged(whole[key], changes[key]) : whole[key]]),
  );
}

function moved(value, seconds) {
  if (Array.isArray(value)) return value.map((item) => moved(item, seconds));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === "now" || key.endsWith("_at") ? item + seconds : moved(item, seconds),
    ]),
  );
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
