import { memo } from "react";
import styles from "./Question.module.css";

export const Question = memo(function Question({ text }: { text: string }) {
  return (
    <div className={styles.row}>
      <div className={styles.bubble}>{text}</div>
    </div>
  );
});
