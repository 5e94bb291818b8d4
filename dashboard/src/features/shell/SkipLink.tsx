import type { RefObject } from "react";
import styles from "./SkipLink.module.css";

/** The first stop of the Tab key: leads past the header and the navigation. */
export function SkipLink({ main }: { main: RefObject<HTMLElement | null> }) {
  return (
    <a
      className={styles.skip}
      href="#main"
      onClick={(event) => {
        // The address has no fragments.
        event.preventDefault();
        main.current?.focus();
      }}
    >
      Skip to the content
    </a>
  );
}
