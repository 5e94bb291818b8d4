/** The properties that the table and the cards of finished requests share. */

import type { RequestRecord } from "../../api/types";
import type { Sort } from "../../lib/sort";

export interface RequestListProps {
  /** The accessible name. */
  label: string;
  requests: RequestRecord[];
  /** The id of the request that is open; empty if none is. */
  openId: string;
  onOpen: (requestId: string) => void;
  /** Makes the headings sort by their column. */
  sorting?: Sorting;
}

export interface Sorting {
  sort: Sort;
  onSort: (column: string) => void;
}
