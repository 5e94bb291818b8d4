import type { ReactNode } from "react";
import styles from "./Chip.module.css";

interface ChipProps {
  tone: "plain" | "accent" | "ok" | "warn" | "bad";
  title?: string;
  children: ReactNode;
}

/** A small badge with a state or a label. */
export function Chip({ tone, title, children }: ChipProps) {
  return (
    <span className={styles.chip} data-tone={tone} title={title}>
      {children}
    </span>
  );
}
