/** The sort order of a list. In the address it is "ttft", or "-ttft" for descending. */

export interface Sort {
  column: string;
  isDescending: boolean;
}

export function parseSort(text: string, columns: string[], fallback: Sort): Sort {
  const column = text.replace(/^-/, "");
  return columns.includes(column) ? { column, isDescending: text.startsWith("-") } : fallback;
}

export function formatSort({ column, isDescending }: Sort): string {
  return `${isDescending ? "-" : ""}${column}`;
}

/** A new column is sorted descending; the same column changes its direction. */
export function nextSort(sort: Sort, column: string): Sort {
  return { column, isDescending: sort.column === column ? !sort.isDescending : true };
}

/** A sorted copy. Unknown values come last in both directions. */
export function sortBy<T>(
  items: T[],
  valueOf: (item: T) => string | number | null,
  isDescending: boolean,
): T[] {
  const sign = isDescending ? -1 : 1;
  return [...items].sort((first, second) => {
    const a = valueOf(first);
    const b = valueOf(second);
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    const order =
      typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b)) : a - b;
    return sign * order;
  });
}
