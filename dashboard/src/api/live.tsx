/** Polling: the queries that repeat, and whether the service answers. */

import {
  keepPreviousData,
  useMutation,
  useQuery,
  useQueryClient,
  type UseMutationResult,
  type UseQueryResult,
} from "@tanstack/react-query";
import { createContext, use, type ReactNode } from "react";
import { ApiError, type Call } from "./client";
import { getStatus } from "./endpoints";
import { useSession } from "./session";
import type { Status } from "./types";

const STATUS_MILLISECONDS = 2000;
const LONGEST_WAIT_MILLISECONDS = 30_000;

export interface Connection {
  status: Status | undefined;
  /** When the last successful answer came, in milliseconds since the epoch; 0 before the first. */
  answeredAt: number;
  /** Failed attempts since then. */
  numFailures: number;
  failure: Error | null;
  retryNow: () => void;
}

interface Live {
  connection: Connection;
  isPaused: boolean;
  setPaused: (isPaused: boolean) => void;
}

const LiveContext = createContext<Live | null>(null);

/** Doubles the wait from 1 s up to 30 s; a longer Retry-After wins. */
export function retryWait(numFailures: number, error: Error): number {
  const asked = error instanceof ApiError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
  return Math.max(asked, Math.min(1000 * 2 ** numFailures, LONGEST_WAIT_MILLISECONDS));
}

function isWorthRetrying(error: Error): boolean {
  return !(error instanceof ApiError && error.status < 500 && error.status !== 429);
}

interface LiveProviderProps {
  isPaused: boolean;
  setPaused: (isPaused: boolean) => void;
  children: ReactNode;
}

/** Polls the status: the heartbeat that all other queries depend on. */
export function LiveProvider({ isPaused, setPaused, children }: LiveProviderProps) {
  const ask = useAsk();
  const query = useQuery({
    queryKey: ["status"],
    queryFn: ({ signal }) => ask(getStatus, signal),
    enabled: useIsWelcome(),
    refetchInterval: isPaused ? false : STATUS_MILLISECONDS,
    refetchOnWindowFocus: !isPaused,
    retry: (_, error) => isWorthRetrying(error),
    retryDelay: retryWait,
  });
  const failure = query.failureReason;
  const isAway = failure !== null && isWorthRetrying(failure);
  const connection: Connection = {
    status: query.data,
    answeredAt: query.dataUpdatedAt,
    // A refusal is an answer: the service is there.
    numFailures: isAway ? query.failureCount : 0,
    failure,
    retryNow: () => void query.refetch(),
  };
  return <LiveContext value={{ connection, isPaused, setPaused }}>{children}</LiveContext>;
}

export function useLive(): Live {
  const live = use(LiveContext);
  if (!live) throw new Error("useLive needs a LiveProvider above it");
  return live;
}

interface LiveQueryOptions<T> {
  /** Combines the data so far with the new answer. */
  combine?: ((previous: T | undefined, next: T) => T) | undefined;
  /** If false, the query is not sent. */
  isEnabled?: boolean;
}

/**
 * Calls `ask` every `milliseconds`, unless paused, hidden, refused or disconnected.
 *
 * `queryKey` is a name, followed by every argument that changes the answer.
 */
export function useLiveQuery<T>(
  queryKey: readonly [name: string, ...parameters: unknown[]],
  ask: (call: Call) => Promise<T>,
  milliseconds: number,
  { combine = (_, next) => next, isEnabled = true }: LiveQueryOptions<T> = {},
): UseQueryResult<T> {
  const { connection, isPaused } = useLive();
  const callWithKey = useAsk();
  return useQuery<T>({
    queryKey,
    queryFn: async ({ signal, client }) =>
      combine(client.getQueryData<T>(queryKey), await callWithKey(ask, signal)),
    enabled:
      useIsWelcome() &&
      isEnabled &&
      connection.status !== undefined &&
      connection.numFailures === 0,
    refetchInterval: isPaused ? false : milliseconds,
    refetchOnWindowFocus: !isPaused,
    placeholderData: keepPreviousData,
    retry: false,
  });
}

function useIsWelcome(): boolean {
  const { key, refusal } = useSession();
  return key !== null && refusal === null;
}

/** Changes something, then refetches the queries named `refreshes`. Failures are not retried. */
export function useCommand<Input, T>(
  command: (call: Call, input: Input) => Promise<T>,
  refreshes: string,
): UseMutationResult<T, Error, Input> {
  const ask = useAsk();
  const client = useQueryClient();
  return useMutation<T, Error, Input>({
    mutationFn: (input) => ask((call) => command(call, input)),
    onSettled: () => client.invalidateQueries({ queryKey: [refreshes] }),
  });
}

/** Whether the current key has `scope`. */
export function useHasScope(scope: string): boolean {
  return useLive().connection.status?.key.scopes.includes(scope) ?? false;
}

type Ask = <T>(ask: (call: Call) => Promise<T>, signal?: AbortSignal) => Promise<T>;

/** Calls with the session's key; a refused key opens the key dialog. */
function useAsk(): Ask {
  const { key, refuse } = useSession();
  return async (ask, signal) => {
    try {
      return await ask({ key: key ?? "", ...(signal ? { signal } : {}) });
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) refuse(error.message);
      throw error;
    }
  };
}
