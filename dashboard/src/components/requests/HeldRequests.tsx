import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import type { Held } from "./held";
import styles from "./HeldRequests.module.css";

interface HeldRequestsProps {
  held: Pick<Held<unknown>, "numNew" | "showNew" | "handlers">;
  children: ReactNode;
}

/** A list that does not move while the pointer or the focus is on it; says what it holds back. */
export function HeldRequests({ held, children }: HeldRequestsProps) {
  return (
    <>
      <div className={styles.note}>
        {held.numNew > 0 && (
          <Button variant="light" size="compact-xs" onClick={held.showNew}>
            {held.numNew} new, show
          </Button>
        )}
      </div>
      <div {...held.handlers}>{children}</div>
    </>
  );
}
