/** What the screen asks again and again, and whether anybody answers. */

import {
  keepPreviousData,
  useMutation,
  useQuery,
  useQueryClient,
  type UseMutationResult,
  type UseQueryResult,
} from "@tanstack/react-query";
import { createContext, use, type ReactNode } from "react";
import { ApiError, getJson, type Call, type Method } from "./client";
import { useSession } from "./session";
import type { Status } from "./types";

const STATUS_MILLISECONDS = 2000;
const LONGEST_WAIT_MILLISECONDS = 30_000;

export interface Connection {
  status: Status | undefined;
  /** When the last good answer came, in milliseconds since the epoch; 0 before the first. */
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

/** Doubles the wait from 1 s up to 30 s; a stated Retry-After wins. */
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

/** Polls /api/status: the heartbeat that all other questions depend on. */
export function LiveProvider({ isPaused, setPaused, children }: LiveProviderProps) {
  const ask = useAsk();
  const query = useQuery({
    queryKey: ["status"],
    queryFn: ({ signal }) => ask<Status>("/api/status", { signal }),
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
    // A refusal is an answer: someone is there.
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
  /** Makes what is kept out of what was known before and the new answer. */
  combine?: (previous: T | undefined, next: T) => T;
  /** False: not asked at all. */
  isEnabled?: boolean;
}

/** Asks `path` every `milliseconds`, unless paused, hidden, refused or disconnected. */
export function useLiveQuery<T>(
  name: string,
  path: string,
  milliseconds: number,
  { combine = (_, next) => next, isEnabled = true }: LiveQueryOptions<T> = {},
): UseQueryResult<T> {
  const { connection, isPaused } = useLive();
  const ask = useAsk();
  return useQuery<T>({
    queryKey: [name, path],
    queryFn: async ({ signal, client, queryKey }) =>
      combine(client.getQueryData<T>(queryKey), await ask<T>(path, { signal })),
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

export interface Command {
  method: Method;
  path: string;
  body?: unknown;
}

/** Changes something, then asks anew for what `refreshes` names. Never repeated by itself. */
export function useCommand<T>(refreshes: string): UseMutationResult<T, Error, Command> {
  const ask = useAsk();
  const client = useQueryClient();
  return useMutation<T, Error, Command>({
    mutationFn: ({ path, ...call }) => ask<T>(path, call),
    onSettled: () => client.invalidateQueries({ queryKey: [refreshes] }),
  });
}

/** Whether the key in use may do what needs `scope`. */
export function useHasScope(scope: string): boolean {
  return useLive().connection.status?.key.scopes.includes(scope) ?? false;
}

/** Calls with the session's key; a refused key opens the key dialog. */
function useAsk(): <T>(path: string, call: Omit<Call, "key">) => Promise<T> {
  const { key, refuse } = useSession();
  return async <T,>(path: string, call: Omit<Call, "key">) => {
    try {
      return await getJson<T>(path, { key: key ?? "", ...call });
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) refuse(error.message);
      throw error;
    }
  };
}
