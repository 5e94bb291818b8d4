/** The history of a budget as a line to draw: what is left, from 100 % down, through 0 when overspent. */

export interface BudgetLine {
  path: string;
  /** Where 0 lies, from the top, in the drawing's own units. */
  zero: number;
  /** The value at the bottom edge. */
  bottom: number;
}

type Value = number | null;

/** Deeper than this the line leaves the drawing: the shape above 0 must stay readable. */
const LOWEST = -1;

export function budgetLine(values: Value[], width: number, height: number): BudgetLine {
  const known = values.filter((value): value is number => value !== null);
  const bottom = Math.max(LOWEST, Math.min(0, ...known));
  const y = (value: number) => ((1 - Math.max(bottom, value)) / (1 - bottom)) * height;
  const x = (i: number) => (values.length > 1 ? (i / (values.length - 1)) * width : width);
  let path = "";
  let isGap = true;
  values.forEach((value, i) => {
    if (value !== null) {
      path += `${isGap ? "M" : "L"}${x(i).toFixed(2)} ${y(value).toFixed(2)}`;
    }
    isGap = value === null;
  });
  return { path, zero: y(0), bottom };
}
