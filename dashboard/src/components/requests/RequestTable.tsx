import { memo } from "react";
import type { RequestRecord } from "../../api/types";
import {
  decodeSpeed,
  errorWords,
  longestOf,
  numberOrDash,
  rowId,
  secondsOrDash,
} from "../../lib/requests";
import { formatClock } from "../../lib/units";
import { ScrollRegion } from "../ScrollRegion";
import { OutcomeBadge } from "./OutcomeBadge";
import { PhaseBar } from "./PhaseBar";
import { RequestDetail } from "./RequestDetail";
import type { RequestListProps, Sorting } from "./request-list";
import { SortHeader } from "./SortHeader";
import styles from "./RequestTable.module.css";

interface Column {
  name: string;
  label: string;
  isNumber?: boolean;
}

const COLUMNS: Column[] = [
  { name: "time", label: "time" },
  { name: "key", label: "key" },
  { name: "operation", label: "operation" },
  { name: "outcome", label: "outcome" },
  { name: "prompt", label: "prompt (cached)", isNumber: true },
  { name: "output", label: "output", isNumber: true },
  { name: "queue", label: "queue", isNumber: true },
  { name: "ttft", label: "TTFT", isNumber: true },
  { name: "speed", label: "tok/s", isNumber: true },
  { name: "total", label: "total", isNumber: true },
];

const NUM_COLUMNS = COLUMNS.length + 1;

export function RequestTable({ label, requests, openId, onOpen, sorting }: RequestListProps) {
  const longest = longestOf(requests);
  return (
    <ScrollRegion label={`${label}, table`} className={styles.scroll}>
      <table className={styles.table}>
        <thead>
          <tr>
            {COLUMNS.map((column) => (
              <Heading key={column.name} column={column} sorting={sorting} />
            ))}
            <th scope="col" className={styles.phases}>
              queue · prefill · decode
            </th>
          </tr>
        </thead>
        <tbody>
          {requests.map((request) => (
            <RequestRow
              key={rowId(request)}
              request={request}
              longest={longest}
              isOpen={request.request_id === openId}
              onOpen={onOpen}
            />
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}

interface HeadingProps {
  column: Column;
  sorting: Sorting | undefined;
}

function Heading({ column: { name, label, isNumber }, sorting }: HeadingProps) {
  if (sorting) return <SortHeader column={name} label={label} isNumber={isNumber} {...sorting} />;
  return (
    <th scope="col" data-number={isNumber}>
      {label}
    </th>
  );
}

interface RequestRowProps {
  request: RequestRecord;
  longest: number;
  isOpen: boolean;
  onOpen: (requestId: string) => void;
}

/** A finished request never changes, so its row is rendered again only if it opens or rescales. */
const RequestRow = memo(DrawnRow, (before, after) => {
  const isSame = rowId(before.request) === rowId(after.request);
  return isSame && before.isOpen === after.isOpen && before.longest === after.longest;
});

function DrawnRow({ request, longest, isOpen, onOpen }: RequestRowProps) {
  const why = errorWords(request);
  const toggle = () => onOpen(isOpen ? "" : request.request_id);
  return (
    <>
      {/* A click anywhere opens the row; keyboards and screen readers use the button in it. */}
      <tr className={styles.row} data-open={isOpen} onClick={toggle}>
        <td>
          <button
            type="button"
            className={styles.opener}
            aria-expanded={isOpen}
            aria-label={`${formatClock(request.started_at)}, details`}
            onClick={(event) => {
              event.stopPropagation();
              toggle();
            }}
          >
            <span className={styles.arrow} aria-hidden />
            {formatClock(request.started_at)}
          </button>
        </td>
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
        <td data-number>{secondsOrDash(request.queue_seconds)}</td>
        <td data-number>{secondsOrDash(request.ttft_seconds)}</td>
        <td data-number>
          {numberOrDash(decodeSpeed(request.output_tokens, request.decode_seconds))}
        </td>
        <td data-number>{secondsOrDash(request.duration_seconds)}</td>
        <td className={styles.phases}>
          <PhaseBar timings={request} longest={longest} />
        </td>
      </tr>
      {isOpen && (
        <tr>
          <td className={styles.detail} colSpan={NUM_COLUMNS}>
            <RequestDetail request={request} />
          </td>
        </tr>
      )}
    </>
  );
}
