import type { ReactNode } from "react";
import styles from "./Notice.module.css";

interface NoticeProps {
  title: string;
  tone: "plain" | "warn" | "bad";
  children: ReactNode;
}

/** A message about the state of the whole page. */
export function Notice({ title, tone, children }: NoticeProps) {
  return (
    <section className={styles.notice} data-tone={tone} role={tone === "bad" ? "alert" : "status"}>
      <h2 className={styles.title}>{title}</h2>
      {children}
    </section>
  );
}
