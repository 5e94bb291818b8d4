import { useMediaQuery } from "@mantine/hooks";
import { RequestCards } from "./RequestCards";
import type { RequestListProps } from "./request-list";
import { RequestTable } from "./RequestTable";

/** Finished requests that open on click: as a table, or as cards on narrow screens. */
export function RequestList(props: RequestListProps) {
  const isNarrow = useMediaQuery("(max-width: 820px)");
  return isNarrow ? <RequestCards {...props} /> : <RequestTable {...props} />;
}
