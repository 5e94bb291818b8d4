import type { RequestRecord } from "../../api/types";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { PhaseBar } from "../../components/PhaseBar";
import { ScrollRegion } from "../../components/ScrollRegion";
import { searchWith } from "../../lib/location";
import { decodeSpeed, numberOrDash, secondsOrDash } from "../../lib/requests";
import { formatClock } from "../../lib/units";
import styles from "./RecentRequests.module.css";

/** The newest requests: who, how it ended, how many tokens, where the time went. */
export function RecentRequests({ requests }: { requests: RequestRecord[] }) {
  const longest = Math.max(...requests.map((request) => request.duration_seconds ?? 0));
  return (
    <section className={styles.card} aria-label="Recent requests">
      <header className={styles.header}>
        <h2 className={styles.title}>Recent requests</h2>
        <a className={styles.all} href={searchWith(window.location.search, { page: "requests" })}>
          all requests
        </a>
      </header>
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

function RequestRow({ request, longest }: { request: RequestRecord; longest: number }) {
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
        <OutcomeBadge outcome={request.outcome} />
        {why && <span className={styles.muted}> {why}</span>}
      </td>
      <td data-number>
        {request.prompt_tokens}
        <span className={styles.muted}> ({request.cached_tokens})</span>
      </td>
      <td data-number>{request.output_tokens}</td>
      <td data-number>{secondsOrDash(request.ttft_seconds)}</td>
      <td data-number>
        {numberOrDash(decodeSpeed(request.output_tokens, request.decode_seconds))}
      </td>
      <td data-number>{secondsOrDash(request.duration_seconds)}</td>
      <td>
        <PhaseBar timings={request} longest={longest} />
      </td>
    </tr>
  );
}
