/** Which of several replicas a list comes from: each one lists only its own requests. */

import type { RequestList } from "../../api/types";

/** Enough answers to see each of a few replicas, and few enough to forget one that is gone. */
const NUM_REMEMBERED = 20;

export interface SeenRequests extends RequestList {
  /** The replicas that gave the latest answers, the newest last. */
  answeredBy?: string[];
}

export function noteReplica(previous: SeenRequests | undefined, next: SeenRequests): SeenRequests {
  const answeredBy = [...(previous?.answeredBy ?? []), next.replica].slice(-NUM_REMEMBERED);
  return { ...next, answeredBy };
}

/** Empty if only one replica answers. */
export function replicaWords(list: SeenRequests | undefined): string {
  const count = new Set(list?.answeredBy).size;
  return list && count > 1
    ? ` This list comes from ${list.replica}, one of ${count} replicas.`
    : "";
}
