/**
 * Cuts Markdown into top-level blocks, so that a growing answer parses only its last block anew.
 *
 * It cuts only where a parser would see two blocks, and rather too seldom than too often.
 */

const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const LIST_ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/;
const INDENTED = /^(?: {2,}|\t)/;
/** A definition counts for the whole text, so such a text stays in one piece. */
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;

export function splitBlocks(text: string): string[] {
  if (DEFINITION.test(text)) return [text];
  const blocks: string[][] = [];
  let fence: string | null = null;
  let isAfterBlank = true;
  for (const line of text.split("\n")) {
    const current = blocks.at(-1);
    const isBlank = line.trim() === "";
    if (fence === null && !isBlank && (!current || (isAfterBlank && !continues(current, line)))) {
      blocks.push([line]);
    } else {
      current?.push(line);
    }
    fence = fenceAfter(fence, line);
    isAfterBlank = isBlank;
  }
  return blocks.map((lines) => lines.join("\n").trimEnd());
}

/** After a blank line: does `line` still belong to the block before it? */
function continues(block: string[], line: string): boolean {
  if (INDENTED.test(line)) return true;
  return LIST_ITEM.test(line) && LIST_ITEM.test(block[0] ?? "");
}

/** The open fence after `line`, or null outside of code. */
function fenceAfter(fence: string | null, line: string): string | null {
  const [, mark, info = ""] = FENCE.exec(line) ?? [];
  if (mark === undefined) return fence;
  if (fence === null) return mark.startsWith("`") && info.includes("`") ? null : mark;
  return mark.startsWith(fence) && info.trim() === "" ? null : fence;
}
