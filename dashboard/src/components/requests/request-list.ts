/** What the table and the cards of finished requests have in common. */

import type { RequestRecord } from "../../api/types";
import type { Sort } from "../../lib/sort";

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
