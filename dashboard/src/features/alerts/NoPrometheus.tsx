import { Markdown } from "../../components/markdown/Markdown";
import { Notice } from "../../components/Notice";

/** The service alone keeps an hour; objectives over a week need someone who remembers. */
export function NoPrometheus({ reason }: { reason: string }) {
  return (
    <Notice tone="plain" title="No alerts and objectives without Prometheus">
      <Markdown text={reason} />
      <p>
        <code>make up</code> starts the whole stack: Prometheus with its rules, Grafana, Redis. A
        Prometheus of your own needs the rules in <code>prometheus/rules</code>.
      </p>
    </Notice>
  );
}
