import type { KeyEntry, KeyList } from "../../../api/types";
import { formatCount } from "../../../lib/units";

/** The keys whose limit can be changed here: those of the settings have LLM_DEFAULT_RPM. */
export function changeableKeys(list: KeyList | undefined, now = Date.now() / 1000): KeyEntry[] {
  return (list?.keys ?? []).filter(
    ({ source, revoked_at: revokedAt, expires_at: expiresAt, scopes }) =>
      source === "database" &&
      revokedAt === null &&
      (expiresAt === null || expiresAt > now) &&
      scopes.includes("inference"),
  );
}

export function limitWords(rpm: number): string {
  return rpm === 0 ? "no limit" : `${formatCount(rpm)} requests per minute`;
}
