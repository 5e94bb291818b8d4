import type { Sort } from "../../lib/sort";
import styles from "./SortHeader.module.css";

interface SortHeaderProps {
  column: string;
  label: string;
  sort: Sort;
  isNumber: boolean | undefined;
  onSort: (column: string) => void;
}

/** A column heading that sorts by its column and shows the direction. */
export function SortHeader({ column, label, sort, isNumber, onSort }: SortHeaderProps) {
  const isSorted = sort.column === column;
  const direction = sort.isDescending ? "descending" : "ascending";
  return (
    <th
      scope="col"
      className={styles.heading}
      data-number={isNumber}
      aria-sort={isSorted ? direction : "none"}
    >
      <button type="button" className={styles.button} onClick={() => onSort(column)}>
        {label}
        <span className={styles.arrow} aria-hidden>
          {isSorted ? (sort.isDescending ? "↓" : "↑") : ""}
        </span>
      </button>
    </th>
  );
}
