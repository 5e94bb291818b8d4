import { useMemo } from "react";
import { useSeries } from "../../api/series";
import { ChartBoard } from "../../components/ChartBoard";
import { Notice } from "../../components/Notice";
import { PageLink } from "../../components/PageLink";
import { QueryGate } from "../../components/QueryGate";
import { panelsOf } from "../../lib/chart-plan";
import { comparedCharts } from "../../lib/compared-charts";
import { TRAFFIC } from "./charts";
import styles from "./KeyBoard.module.css";

/** What can be told by key. Memory, CPU and the engine are shared by all. */
const PLANS = TRAFFIC.filter(({ id }) => ["requests", "ttft", "tokens", "errors"].includes(id));
const PANELS = panelsOf(PLANS);

const KEY_NAME = /^[a-z0-9_-]{1,32}$/;

/** The requests, first tokens, tokens and refusals of one key. */
export function KeyBoard({ keyName }: { keyName: string }) {
  const isName = KEY_NAME.test(keyName);
  const { query, earlier, time, viewOf } = useSeries(PANELS, keyName, isName);
  const { data } = query;
  const charts = useMemo(
    () =>
      (data ? comparedCharts(PLANS, data, earlier, time.compared) : []).map((chart) => {
        // The page has charts of all keys with these titles.
        return { ...chart, id: `${chart.id}-${keyName}`, title: `${chart.title} of ${keyName}` };
      }),
    [data, earlier, time.compared, keyName],
  );
  if (!isName) {
    return (
      <Notice tone="warn" title="The address names no key">
        <p>A key has a name of 1 to 32 characters from a-z, 0-9, _ and -.</p>
      </Notice>
    );
  }
  return (
    <QueryGate query={query} placeholder={null}>
      {(series) => (
        <>
          <ChartBoard
            title={`Requests of the key ${keyName}`}
            charts={charts}
            view={viewOf(series)}
          />
          <p className={styles.note}>
            <PageLink page="requests" changes={{ key_name: keyName }} className={styles.link}>
              The latest requests of {keyName}
            </PageLink>
            {series.source.kind === "prometheus" &&
              ". First tokens and error kinds by key are known for the last hour only."}
          </p>
        </>
      )}
    </QueryGate>
  );
}
