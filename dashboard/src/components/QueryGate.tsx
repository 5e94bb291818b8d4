import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Notice } from "./Notice";
import styles from "./QueryGate.module.css";

interface QueryGateProps<T> {
  query: Pick<UseQueryResult<T>, "data" | "error">;
  placeholder: ReactNode;
  children: (data: T) => ReactNode;
}

/** Handles loading and refusal in one place, above the content that needs the answer. */
export function QueryGate<T>({ query, placeholder, children }: QueryGateProps<T>) {
  const error = query.error && hasStatus(query.error) ? query.error : null;
  if (query.data === undefined) return error ? <Refusal error={error} /> : placeholder;
  return (
    <>
      {error && (
        <p className={styles.stale} role="alert">
          These numbers are out of date. {error.message}
        </p>
      )}
      {children(query.data)}
    </>
  );
}

type AnsweredError = Error & { status: number };

function hasStatus(error: Error): error is AnsweredError {
  return "status" in error && error.status !== 401;
}

function Refusal({ error }: { error: AnsweredError }) {
  const isForbidden = error.status === 403;
  return (
    <Notice
      tone={isForbidden ? "warn" : "bad"}
      title={isForbidden ? "This key may not read metrics" : "The service refused the request"}
    >
      <p>{error.message}</p>
      {isForbidden && (
        <p>
          Charts and recent requests need a key with the scope <code>metrics</code>. Create one with{" "}
          <code>llm-service keys create --name dashboard --scopes inference,metrics</code>
        </p>
      )}
    </Notice>
  );
}
