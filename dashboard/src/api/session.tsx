/**
 * The key of the user, held in memory; "" where the service requires none.
 *
 * "Keep for this tab" puts it in sessionStorage. It never goes to localStorage or the URL.
 */

import { createContext, use, useMemo, useState, type ReactNode } from "react";

const STORAGE_NAME = "llm-service-key";

export interface Session {
  key: string | null;
  /** Why the service refused the key, in its words; null if it has not. */
  refusal: string | null;
  /** The user chose to use another key, so the key page is shown even if none is required. */
  hasLeft: boolean;
  accept: (key: string, isKept: boolean) => void;
  refuse: (reason: string) => void;
  leave: () => void;
}

const SessionContext = createContext<Session | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [key, setKey] = useState<string | null>(() => sessionStorage.getItem(STORAGE_NAME));
  const [refusal, setRefusal] = useState<string | null>(null);
  const [hasLeft, setHasLeft] = useState(false);
  const session = useMemo<Session>(
    () => ({
      key,
      refusal,
      hasLeft,
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
        setHasLeft(true);
        setKey(null);
      },
    }),
    [key, refusal, hasLeft],
  );
  return <SessionContext value={session}>{children}</SessionContext>;
}

export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new Error("useSession needs a SessionProvider above it");
  return session;
}
