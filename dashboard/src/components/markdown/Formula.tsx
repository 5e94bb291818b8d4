import { lazy, Suspense } from "react";
import styles from "./Formula.module.css";

const DrawnFormula = lazy(async () => ({
  default: (await import("./DrawnFormula").catch(() => import("./SourceFormula"))).default,
}));

export interface FormulaProps {
  /** LaTeX. */
  tex: string;
  isDisplay: boolean;
}

/** A formula; its LaTeX until the library that draws it has been loaded. */
export function Formula(props: FormulaProps) {
  const drawn = (
    <Suspense fallback={<code>{props.tex}</code>}>
      <DrawnFormula {...props} />
    </Suspense>
  );
  if (!props.isDisplay) return drawn;
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the arrow keys scroll it
    <section className={styles.display} tabIndex={0}>
      {drawn}
    </section>
  );
}
