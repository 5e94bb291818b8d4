/** The error budget left of each objective, the alerts, and a runbook for each. */

import { Skeleton } from "@mantine/core";
import { useState } from "react";
import { useAlerts } from "../../api/alerts";
import { PageHead } from "../../components/PageHead";
import { QueryGate } from "../../components/QueryGate";
import { ActiveAlerts, InactiveRules } from "./AlertList";
import { headline } from "./burn";
import { ObjectiveCard } from "./ObjectiveCard";
import { OwnHour } from "./OwnHour";
import { RunbookDrawer } from "./RunbookDrawer";
import type { Alerts } from "../../api/types";
import styles from "./AlertsPage.module.css";

export function AlertsPage() {
  const query = useAlerts();
  return (
    <QueryGate query={query} placeholder={<AlertsSkeleton />}>
      {(answer) => (
        <div className={styles.page}>
          <AlertsView answer={answer} />
        </div>
      )}
    </QueryGate>
  );
}

function AlertsView({ answer }: { answer: Alerts }) {
  const [runbook, setRunbook] = useState<string | null>(null);
  const { tone, sentence } = headline(answer);
  // A runbook links to another by its anchor, which is the alert's name in lower case.
  const openNamed = (anchor: string) =>
    setRunbook(answer.alerts.find(({ name }) => name.toLowerCase() === anchor)?.name ?? anchor);
  return (
    <>
      <PageHead
        title="Alerts & SLO"
        lead={
          <span className={styles.sentence} data-tone={tone}>
            {sentence}
          </span>
        }
      />
      {answer.source === "history" && <OwnHour reason={answer.reason} />}
      <ActiveAlerts alerts={answer.alerts} now={answer.now} onRunbook={setRunbook} />
      <div className={styles.objectives}>
        {answer.objectives.map((objective) => (
          <ObjectiveCard key={objective.name} objective={objective} />
        ))}
      </div>
      <InactiveRules alerts={answer.alerts} onRunbook={setRunbook} />
      <RunbookDrawer name={runbook} onOpen={openNamed} onClose={() => setRunbook(null)} />
    </>
  );
}

function AlertsSkeleton() {
  return (
    <div className={styles.page} aria-busy="true" aria-label="Loading alerts and objectives">
      <Skeleton height={34} />
      <div className={styles.objectives}>
        <Skeleton height={360} radius="md" />
        <Skeleton height={360} radius="md" />
      </div>
      <Skeleton height={240} radius="md" />
    </div>
  );
}
