/**
 * Splits Markdown into top-level blocks, so that a growing answer parses only its last block again.
 *
 * It splits only where a parser would see two blocks; when in doubt, it does not split.
 */

const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const LIST_ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/;
const INDENTED = /^(?: {2,}|\t)/;
/** A link definition applies to the whole text, so a text with one is not split. */
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

/** Whether `line`, after a blank line, still belongs to the block before it. */
function continues(block: string[], line: string): boolean {
  if (INDENTED.test(line)) return true;
  return LIST_ITEM.test(line) && LIST_ITEM.test(block[0] ?? "");
}

/** What begins a formula, and what ends it. */
const FORMULAS: Record<string, string> = { $$: "$$", "\\[": "\\]" };

/** The open fence or formula after `line`, or null outside of both. */
function fenceAfter(fence: string | null, line: string): string | null {
  const end = FORMULAS[fence ?? ""];
  if (end !== undefined) return line.includes(end) ? null : fence;
  const begin = line.trimStart().slice(0, 2);
  const begun = fence === null ? FORMULAS[begin] : undefined;
  if (begun !== undefined) return line.trim().slice(2).includes(begun) ? null : begin;
  const [, mark, info = ""] = FENCE.exec(line) ?? [];
  if (mark === undefined) return fence;
  if (fence === null) return mark.startsWith("`") && info.includes("`") ? null : mark;
  return mark.startsWith(fence) && info.trim() === "" ? null : fence;
}
