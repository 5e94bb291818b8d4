/** Several replicas may answer in turn, each for itself: which of them a list is from. */

import type { RequestList } from "../../api/types";

/** So many that each of a few replicas has had its turn, and one that is gone is forgotten. */
const NUM_REMEMBERED = 20;

export interface SeenRequests extends RequestList {
  /** Which replicas gave the latest answers, this one last. */
  answeredBy?: string[];
}

export function noteReplica(previous: SeenRequests | undefined, next: SeenRequests): SeenRequests {
  const answeredBy = [...(previous?.answeredBy ?? []), next.replica].slice(-NUM_REMEMBERED);
  return { ...next, answeredBy };
}

/** Nothing where one replica alone answers. */
export function replicaWords(list: SeenRequests | undefined): string {
  const count = new Set(list?.answeredBy).size;
  return list && count > 1 ? ` From ${list.replica}, one of ${count} replicas.` : "";
}
