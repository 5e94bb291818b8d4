import type { RequestRecord } from "../../api/types";
import { ScrollRegion } from "../../components/ScrollRegion";
import { formatClock, formatNumber, formatSeconds } from "../../lib/units";
import { PhaseBar } from "./PhaseBar";
import styles from "./RecentRequests.module.css";

/** The newest requests: who, how it ended, how many tokens, where the time went. */
export function RecentRequests({ requests }: { requests: RequestRecord[] }) {
  const longest = Math.max(...requests.map((request) => request.duration_seconds ?? 0));
  return (
    <section className={styles.card} aria-label="Recent requests">
      <h2 className={styles.title}>Recent requests</h2>
      {requests.length === 0 ? (
        <p className={styles.empty}>No request yet. Send one from the playground.</p>
      ) : (
        <ScrollRegion label="Recent requests, table" className={styles.scroll}>
          <table className={styles.table}>
            <thead>
              <tr>
                <th scope="col">time</th>
                <th scope="col">key</th>
                <th scope="col">operation</th>
                <th scope="col">outcome</th>
                <th scope="col" data-number>
                  prompt (cached)
                </th>
                <th scope="col" data-number>
                  output
                </th>
                <th scope="col" data-number>
                  TTFT
                </th>
                <th scope="col" data-number>
                  tok/s
                </th>
                <th scope="col" data-number>
                  total
                </th>
                <th scope="col">queue · prefill · decode</th>
              </tr>
            </thead>
            <tbody>
              {requests.map((request) => (
                <RequestRow key={request.request_id} request={request} longest={longest} />
              ))}
            </tbody>
          </table>
        </ScrollRegion>
      )}
    </section>
  );
}

const FAILED = new Set(["error", "timeout"]);
const REFUSED = new Set(["rejected", "cancelled"]);

function RequestRow({ request, longest }: { request: RequestRecord; longest: number }) {
  const { outcome } = request;
  const tone = FAILED.has(outcome) ? "bad" : REFUSED.has(outcome) ? "warn" : "ok";
  const why = [request.error_kind, request.error_phase].filter(Boolean).join(" in ");
  return (
    <tr>
      <td>{formatClock(request.started_at)}</td>
      <td>{request.key_name}</td>
      <td>
        {request.operation}
        {request.stream && <span className={styles.muted}> stream</span>}
      </td>
      <td>
        <span className={styles.outcome} data-tone={tone}>
          {outcome}
        </span>
        {why && <span className={styles.muted}> {why}</span>}
      </td>
      <td data-number>
        {request.prompt_tokens}
        <span className={styles.muted}> ({request.cached_tokens})</span>
      </td>
      <td data-number>{request.output_tokens}</td>
      <td data-number>{seconds(request.ttft_seconds)}</td>
      <td data-number>{speed(request)}</td>
      <td data-number>{seconds(request.duration_seconds)}</td>
      <td>
        <PhaseBar request={request} longest={longest} />
      </td>
    </tr>
  );
}

function seconds(value: number | null): string {
  return value === null ? "–" : formatSeconds(value);
}

/** Output tokens after the first, per second of decode. */
function speed({ output_tokens, decode_seconds }: RequestRecord): string {
  if (!decode_seconds || output_tokens < 2) return "–";
  return formatNumber((output_tokens - 1) / decode_seconds);
}
