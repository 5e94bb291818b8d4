import { useMediaQuery } from "@mantine/hooks";
import type { RequestRecord } from "../../api/types";
import type { Sort } from "../../lib/sort";
import { RequestCards } from "./RequestCards";
import { RequestTable } from "./RequestTable";

export interface RequestListProps {
  /** Names the list for those who cannot see it. */
  label: string;
  requests: RequestRecord[];
  /** The request that is shown in full; empty: none is. */
  openId: string;
  onOpen: (requestId: string) => void;
  /** Headings sort by their column; without it they only name it. */
  sorting?: Sorting;
}

export interface Sorting {
  sort: Sort;
  onSort: (column: string) => void;
}

/** Finished requests, each of which opens: a table, or cards where there is no room for columns. */
export function RequestList(props: RequestListProps) {
  const isNarrow = useMediaQuery("(max-width: 820px)");
  return isNarrow ? <RequestCards {...props} /> : <RequestTable {...props} />;
}
