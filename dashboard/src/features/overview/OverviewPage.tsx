/** The service at a glance: its health, its speed and the resources it uses, live. */

import { useMemo } from "react";
import { useFiringAlerts } from "../../api/alerts";
import { getRequests } from "../../api/endpoints";
import { useLive, useLiveQuery } from "../../api/live";
import { useNowAnswer } from "../../api/now";
import { useSeries } from "../../api/series";
import type { Alert, Now, Series, Status } from "../../api/types";
import { ChartBoard } from "../../components/ChartBoard";
import { KeyPicker } from "../../components/KeyPicker";
import { MarkList } from "../../components/MarkList";
import { QueryGate } from "../../components/QueryGate";
import { TimeTools } from "../../components/TimeTools";
import type { ChartView } from "../../lib/chart-view";
import type { Comparison } from "../../lib/compare";
import { comparedCharts } from "../../lib/compared-charts";
import { useSearchText } from "../../lib/location";
import { PANELS, RESOURCES, TRAFFIC } from "./charts";
import { FiringAlerts } from "./FiringAlerts";
import { CONNECTING, judge, notReady, UNKNOWN } from "./health";
import { HealthSentence } from "./HealthSentence";
import { KeyBoard } from "./KeyBoard";
import { OverviewSkeleton } from "./OverviewSkeleton";
import { RecentRequests } from "./RecentRequests";
import { TileGrid } from "./TileGrid";
import { buildTiles } from "./tiles";
import styles from "./OverviewPage.module.css";

const NUM_RECENT = 10;
const RECENT_MILLISECONDS = 5000;

export function OverviewPage() {
  const { connection } = useLive();
  const { status } = connection;
  const { query, earlier, time, viewOf } = useSeries(PANELS);
  const [keyName, setKeyName] = useSearchText("key_name");
  const series = query.data;
  const alerts = useFiringAlerts();
  const minute = useNowAnswer();
  const health = judgeNow(connection.numFailures > 0, status, minute.data, alerts);
  return (
    <div className={styles.page}>
      <div className={styles.bar}>
        <HealthSentence health={health} />
        <TimeTools series={series} time={time}>
          <KeyPicker names={series?.key_names ?? []} value={keyName} onChange={setKeyName} />
        </TimeTools>
      </div>
      <FiringAlerts alerts={alerts} />
      {minute.data && <TileGrid tiles={buildTiles(minute.data, series)} />}
      {keyName !== "" && <KeyBoard keyName={keyName} />}
      <QueryGate query={query} placeholder={<OverviewSkeleton hasTiles={!minute.data} />}>
        {(data) =>
          status && (
            <Measured
              series={data}
              earlier={earlier}
              compared={time.compared}
              view={viewOf(data)}
            />
          )
        }
      </QueryGate>
    </div>
  );
}

function judgeNow(
  isAway: boolean,
  status: Status | undefined,
  now: Now | undefined,
  alerts: Alert[],
) {
  if (isAway) return UNKNOWN;
  if (now) return judge(now, alerts);
  // A key without the scope metrics sees whether the service is ready, and no more.
  return status?.health.is_ready === false ? notReady(status.health.reason) : CONNECTING;
}

interface MeasuredProps {
  series: Series;
  earlier: Series | undefined;
  compared: Comparison;
  view: ChartView;
}

function Measured({ series, earlier, compared, view }: MeasuredProps) {
  const [traffic = [], resources = []] = useMemo(
    () => [TRAFFIC, RESOURCES].map((plans) => comparedCharts(plans, series, earlier, compared)),
    [series, earlier, compared],
  );
  return (
    <>
      <MarkList marks={view.marks} window={view.window} />
      <ChartBoard title="Rate, errors, duration" charts={traffic} view={view} />
      <ChartBoard title="Utilization and saturation" charts={resources} view={view} />
      <RecentRequestsSection />
    </>
  );
}

function RecentRequestsSection() {
  const recent = useLiveQuery(
    ["requests", NUM_RECENT],
    (call) => getRequests(call, NUM_RECENT),
    RECENT_MILLISECONDS,
  );
  return (
    <QueryGate query={recent} placeholder={null}>
      {(data) => <RecentRequests requests={data.requests} />}
    </QueryGate>
  );
}
