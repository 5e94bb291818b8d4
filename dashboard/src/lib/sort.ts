/** Which column a list is sorted by, as the address holds it: "ttft", or "-ttft" for descending. */

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

/** Another column starts with its largest first; the same one turns round. */
export function nextSort(sort: Sort, column: string): Sort {
  return { column, isDescending: sort.column === column ? !sort.isDescending : true };
}

/** A sorted copy. What is not known comes last, whichever way round. */
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
