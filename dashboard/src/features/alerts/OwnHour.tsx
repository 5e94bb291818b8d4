import { Markdown } from "../../components/markdown/Markdown";
import { Notice } from "../../components/Notice";

/** Marks what the service itself can judge, and says what it cannot. */
export function OwnHour({ reason }: { reason: string }) {
  return (
    <Notice tone="plain" title="From the service's own last hour">
      <p>
        The same thresholds as in <code>prometheus/rules</code>, judged by the service itself.
        Longer windows, and a service that is down, need Prometheus.
      </p>
      <Markdown text={reason} />
    </Notice>
  );
}
