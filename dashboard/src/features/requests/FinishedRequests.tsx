import { Button } from "@mantine/core";
import { useMemo, useState } from "react";
import type { RequestRecord } from "../../api/types";
import { DownloadMenu } from "../../components/DownloadMenu";
import { useHeld } from "../../components/requests/held";
import { HeldRequests } from "../../components/requests/HeldRequests";
import { RequestList } from "../../components/requests/RequestList";
import { requestsCsv } from "../../lib/csv";
import { downloadFile, fileName } from "../../lib/download";
import { useSearchText } from "../../lib/location";
import { rowId } from "../../lib/requests";
import { formatSort, nextSort, parseSort } from "../../lib/sort";
import { formatCount } from "../../lib/units";
import { FilterBar } from "./FilterBar";
import { COLUMNS, listRequests, NEWEST_FIRST, optionsOf, type Filters } from "./list";
import { LinkedRequest } from "./LinkedRequest";
import styles from "./FinishedRequests.module.css";

const PAGE_LENGTH = 100;

interface FinishedRequestsProps {
  requests: RequestRecord[];
  /** The requests are those of a window in the past. */
  isWindow: boolean;
}

export function FinishedRequests({ requests: latest, isWindow }: FinishedRequestsProps) {
  const [filters, setFilters] = useFilters();
  const [sortText, setSortText] = useSearchText("sort");
  const [openId, setOpenId] = useSearchText("request");
  const [numShown, setNumShown] = useState(PAGE_LENGTH);
  const sort = parseSort(sortText, COLUMNS, NEWEST_FIRST);
  const isOpen = latest.some(({ request_id }) => request_id === openId);
  const held = useHeld(latest, rowId, isOpen);
  const requests = held.items;
  const found = listRequests(requests, filters, sort);
  const shown = found.slice(0, numShown);
  const options = useMemo(
    () => ({
      outcomes: optionsOf(
        requests.map((request) => request.outcome),
        filters.outcome,
      ),
      models: optionsOf(
        requests.map((request) => request.model),
        filters.model,
      ),
      keyNames: optionsOf(
        requests.map((request) => request.key_name),
        filters.keyName,
      ),
    }),
    [requests, filters],
  );
  const isListed = shown.some(({ request_id }) => request_id === openId);
  return (
    <>
      {openId !== "" && !isListed && (
        <LinkedRequest key={openId} requestId={openId} onClose={() => setOpenId("")} />
      )}
      <section className={styles.card} aria-label="Finished requests">
        <header className={styles.header}>
          <h2 className={styles.title}>
            Finished{" "}
            <span className={styles.count}>
              {found.length === requests.length
                ? formatCount(requests.length)
                : `${formatCount(found.length)} of ${formatCount(requests.length)}`}
            </span>
          </h2>
          <FilterBar filters={filters} options={options} onChange={setFilters} />
          <DownloadMenu
            label="Download the requests"
            items={[{ name: "CSV (numbers)", onChoose: () => save(found) }]}
          />
        </header>
        {found.length === 0 ? (
          <p className={styles.empty}>
            {requests.length === 0
              ? isWindow
                ? "No request that is kept ran in this time."
                : "No requests yet. Send one from the playground."
              : "No request matches the filters."}
          </p>
        ) : (
          <HeldRequests held={held}>
            <RequestList
              label="Finished requests"
              requests={shown}
              openId={openId}
              onOpen={setOpenId}
              sorting={{
                sort,
                onSort: (column) => setSortText(formatSort(nextSort(sort, column))),
              }}
            />
          </HeldRequests>
        )}
        {shown.length < found.length && (
          <Button
            variant="default"
            className={styles.more}
            onClick={() => setNumShown(numShown + PAGE_LENGTH)}
          >
            Show {Math.min(PAGE_LENGTH, found.length - shown.length)} more
          </Button>
        )}
      </section>
    </>
  );
}

function save(requests: RequestRecord[]): void {
  const name = fileName("requests", Date.now() / 1000, "csv");
  downloadFile(name, new Blob([requestsCsv(requests)], { type: "text/csv" }));
}

/** The filters, which are kept in the address. */
function useFilters(): [Filters, (change: Partial<Filters>) => void] {
  const [text, setText] = useSearchText("q");
  const [outcome, setOutcome] = useSearchText("outcome");
  const [model, setModel] = useSearchText("model");
  const [keyName, setKeyName] = useSearchText("key_name");
  const change = (changed: Partial<Filters>) => {
    if (changed.text !== undefined) setText(changed.text);
    if (changed.outcome !== undefined) setOutcome(changed.outcome);
    if (changed.model !== undefined) setModel(changed.model);
    if (changed.keyName !== undefined) setKeyName(changed.keyName);
  };
  const filters = useMemo(
    () => ({ text, outcome, model, keyName }),
    [text, outcome, model, keyName],
  );
  return [filters, change];
}
