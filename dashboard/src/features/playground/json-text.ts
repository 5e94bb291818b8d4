/** Lays out JSON text that may still be growing: what is written stays where it is. */

/** Every value is kept as it was written, unlike with JSON.parse and JSON.stringify. */
export function layOut(text: string): string {
  let out = "";
  let depth = 0;
  let isOpened = false;
  const newLine = () => `\n${"  ".repeat(depth)}`;
  for (const [token] of text.matchAll(TOKEN)) {
    if (/^\s/.test(token)) continue;
    const isClosing = token === "}" || token === "]";
    if (isClosing) depth = Math.max(0, depth - 1);
    // The line after an opening bracket waits for its content: {} stays on one line.
    if (isOpened !== isClosing) out += newLine();
    isOpened = token === "{" || token === "[";
    if (isOpened) depth++;
    out += token === ":" ? ": " : token === "," ? `,${newLine()}` : token;
  }
  return out;
}

/** A string, also one without its end; a mark; white space; anything else. */
const TOKEN = /"(?:[^"\\]|\\.?)*"?|[{}[\],:]|\s+|[^"{}[\],:\s]+/gs;

/** The laid-out text while it grows, and once it is complete and valid; else the text itself. */
export function showJson(text: string, isGrowing: boolean): string {
  if (isGrowing) return layOut(text);
  try {
    JSON.parse(text);
    return layOut(text);
  } catch {
    return text;
  }
}
