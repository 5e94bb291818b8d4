import { useMediaQuery } from "@mantine/hooks";
import { RequestCards } from "./RequestCards";
import type { RequestListProps } from "./request-list";
import { RequestTable } from "./RequestTable";

/** Finished requests, each of which opens: a table, or cards where there is no room for columns. */
export function RequestList(props: RequestListProps) {
  const isNarrow = useMediaQuery("(max-width: 820px)");
  return isNarrow ? <RequestCards {...props} /> : <RequestTable {...props} />;
}
