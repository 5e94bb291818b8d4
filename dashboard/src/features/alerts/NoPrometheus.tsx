import { Markdown } from "../../components/markdown/Markdown";
import { Notice } from "../../components/Notice";

/** The service alone keeps an hour; objectives over a week need someone who remembers. */
export function NoPrometheus({ reason }: { reason: string }) {
  return (
    <Notice tone="plain" title="No alerts and objectives without Prometheus">
      <Markdown text={reason} />
      <p>
        <code>make up</code> starts the whole stack: Prometheus with its rules, Grafana, Redis.
      </p>
      <p>
        <code>LLM_PROMETHEUS_URL=http://127.0.0.1:9090</code> names a Prometheus that you have. Load
        the rules in <code>prometheus/rules</code> there.
      </p>
    </Notice>
  );
}
