/**
 * Who is looking: the key, held in memory.
 *
 * "Keep for this tab" puts it in sessionStorage. It never goes to localStorage or the URL.
 */

import { createContext, use, useMemo, useState, type ReactNode } from "react";

const STORAGE_NAME = "llm-service-key";

export interface Session {
  key: string | null;
  /** Why the service refused the key, in its words; null while it has not. */
  refusal: string | null;
  accept: (key: string, isKept: boolean) => void;
  refuse: (reason: string) => void;
  leave: () => void;
}

const SessionContext = createContext<Session | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [key, setKey] = useState<string | null>(() => sessionStorage.getItem(STORAGE_NAME));
  const [refusal, setRefusal] = useState<string | null>(null);
  const session = useMemo<Session>(
    () => ({
      key,
      refusal,
      accept: (accepted, isKept) => {
        if (isKept) sessionStorage.setItem(STORAGE_NAME, accepted);
        else sessionStorage.removeItem(STORAGE_NAME);
        setRefusal(null);
        setKey(accepted);
      },
      refuse: (reason) => {
        sessionStorage.removeItem(STORAGE_NAME);
        setRefusal(reason);
      },
      leave: () => {
        sessionStorage.removeItem(STORAGE_NAME);
        setRefusal(null);
        setKey(null);
      },
    }),
    [key, refusal],
  );
  return <SessionContext value={session}>{children}</SessionContext>;
}

export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new Error("useSession needs a SessionProvider above it");
  return session;
}
