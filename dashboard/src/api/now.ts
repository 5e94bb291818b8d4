/** Polls what the service itself knows of the last minute, whatever range the charts show. */

import type { UseQueryResult } from "@tanstack/react-query";
import { getNow } from "./endpoints";
import { useLiveQuery } from "./live";
import type { Now } from "./types";

const NOW_MILLISECONDS = 2000;

export function useNowAnswer(): UseQueryResult<Now> {
  return useLiveQuery(["now"], getNow, NOW_MILLISECONDS);
}
