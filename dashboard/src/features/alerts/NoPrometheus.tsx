import { Markdown } from "../../components/markdown/Markdown";
import { Notice } from "../../components/Notice";

/** The service itself keeps one hour of history, and the objectives cover a week. */
export function NoPrometheus({ reason }: { reason: string }) {
  return (
    <Notice tone="plain" title="Alerts and objectives need Prometheus">
      <Markdown text={reason} />
      <p>
        <code>make up</code> starts the whole stack: Prometheus with its rules, Grafana and Redis.
        Your own Prometheus needs the rules in <code>prometheus/rules</code>.
      </p>
    </Notice>
  );
}
