import type { FormulaProps } from "./Formula";

/** The LaTeX of a formula that cannot be drawn. */
export default function SourceFormula({ tex }: FormulaProps) {
  return <code>{tex}</code>;
}
