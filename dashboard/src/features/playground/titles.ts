/** Names for conversations and for the files they are exported to. */

const MAX_LETTERS = 60;

/** The first line of the first question, cut at a word boundary. */
export function titleOf(text: string): string {
  const line = text.trim().split("\n")[0]?.trim() ?? "";
  if (line.length <= MAX_LETTERS) return line || "Conversation";
  const cut = line.slice(0, MAX_LETTERS);
  const space = cut.lastIndexOf(" ");
  return `${(space > MAX_LETTERS / 2 ? cut.slice(0, space) : cut).trimEnd()}…`;
}

/** `2026-11-21-what-is-a-kv-cache.md` */
export function fileNameOf(title: string, createdAt: number, extension: string): string {
  const date = new Date(createdAt).toISOString().slice(0, 10);
  const slug = title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number}]+/gu, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 50);
  return `${date}-${slug || "conversation"}.${extension}`;
}

/** Not crypto.randomUUID, which is missing on pages served over plain http from another host. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
