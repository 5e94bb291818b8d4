import type { RequestRecord } from "../../api/types";
import { decodeSpeed, errorWords, numberOrDash, secondsOrDash } from "../../lib/requests";
import { formatDayAndSeconds, formatPercent, formatSeconds } from "../../lib/units";
import { CopyButton } from "../CopyButton";
import { Facts, type Fact } from "../Facts";
import { Waterfall } from "./Waterfall";
import styles from "./RequestDetail.module.css";

/** One request in full: its time per phase, and every number behind it. */
export function RequestDetail({ request }: { request: RequestRecord }) {
  return (
    <div className={styles.detail}>
      <Waterfall timings={request} />
      <Facts facts={factsOf(request)} />
      <div className={styles.id}>
        <span className={styles.label}>request id</span>
        <code>{request.request_id}</code>
        <CopyButton text={request.request_id} />
      </div>
    </div>
  );
}

function factsOf(request: RequestRecord): Fact[] {
  const { prompt_tokens, cached_tokens, output_tokens, prefill_seconds, decode_seconds } = request;
  const speed = decodeSpeed(output_tokens, decode_seconds);
  const computed = prompt_tokens - cached_tokens;
  const cached = prompt_tokens > 0 ? ` (${formatPercent(cached_tokens / prompt_tokens)})` : "";
  const why = errorWords(request);
  return [
    { name: "started", value: formatDayAndSeconds(request.started_at) },
    { name: "model", value: request.model },
    { name: "response", value: request.stream ? "streamed" : "in one piece" },
    { name: "outcome", value: why ? `${request.outcome}: ${why}` : request.outcome },
    { name: "prompt tokens", value: String(prompt_tokens) },
    { name: "cached prompt tokens", value: `${cached_tokens}${cached}` },
    { name: "output tokens", value: String(output_tokens) },
    { name: "TTFT", value: secondsOrDash(request.ttft_seconds) },
    {
      name: "prefill speed",
      value: prefill_seconds ? `${numberOrDash(computed / prefill_seconds)} tok/s` : "–",
    },
    { name: "decode speed", value: speed === null ? "–" : `${numberOrDash(speed)} tok/s` },
    { name: "mean inter-token latency", value: speed === null ? "–" : formatSeconds(1 / speed) },
    { name: "total", value: secondsOrDash(request.duration_seconds) },
  ];
}
