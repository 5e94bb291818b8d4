/** Renders Markdown from a model or a runbook safely. The renderer is loaded when first needed. */

import { lazy, Suspense } from "react";
import styles from "./Markdown.module.css";

export const loadMarkdown = () => import("./MarkdownBody");

const MarkdownBody = lazy(async () => ({ default: (await loadMarkdown()).MarkdownBody }));

interface MarkdownProps {
  text: string;
  /** True while more text is coming; a mark shows where. */
  isGrowing?: boolean;
  /** Called for a link within the document; without it such a link is plain text. */
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
