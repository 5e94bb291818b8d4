/** The history of an error budget as a line, from 100 % at the top to 0, or below if overspent. */

export interface BudgetLine {
  path: string;
  /** The y coordinate of 0. */
  zero: number;
  /** The value at the bottom edge. */
  bottom: number;
}

type Value = number | null;

/** Lower values are cut off, so that the line above 0 stays readable. */
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
