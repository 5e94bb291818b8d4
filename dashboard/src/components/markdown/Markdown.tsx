/** Markdown from a model or a runbook, drawn safely. The renderer itself comes when first needed. */

import { lazy, Suspense } from "react";
import styles from "./Markdown.module.css";

export const loadMarkdown = () => import("./MarkdownBody");

const MarkdownBody = lazy(async () => ({ default: (await loadMarkdown()).MarkdownBody }));

interface MarkdownProps {
  text: string;
  /** More text is on its way: a mark shows where. */
  isGrowing?: boolean;
  /** What a link within the document does; without it such a link is plain text. */
  onAnchor?: (name: string) => void;
}

export function Markdown({ text, isGrowing = false, onAnchor }: MarkdownProps) {
  return (
    <div className={styles.markdown} data-growing={isGrowing}>
      <Suspense fallback={<p className={styles.plain}>{text}</p>}>
        <MarkdownBody text={text} isGrowing={isGrowing} onAnchor={onAnchor} />
      </Suspense>
    </div>
  );
}
