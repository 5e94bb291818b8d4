/**
 * Prepares the formulas in Markdown for remark-math, which knows only `$$`.
 *
 * Models write `$x$`, `\(x\)`, `\[x\]` and `$$x$$`. A single dollar sign may also be money: it begins
 * a formula only before a letter that is no space, and ends one only after such a letter and not
 * before a digit.
 */

const TOKEN = new RegExp(
  [
    // Code, which stays as it is: a fence, open at the end or not, and a span.
    /^[ \t]*(?<fence>`{3,}|~{3,})[^\n]*(?:\n[^]*?(?:^[ \t]*\k<fence>[`~]*[ \t]*$|(?![^]))|$)/,
    /(?<!`)(?<ticks>`+)(?!`)[^]*?(?<!`)\k<ticks>(?!`)/,
    /\\\[(?<bracket>[^]+?)\\\]/,
    /\\\((?<parenthesis>[^]+?)\\\)/,
    /\$\$(?<dollars>[^]+?)\$\$/,
    /\\[^]/,
    /\$(?!\s)(?<dollar>(?:\\[^]|[^$\\\n])+?)(?<!\s)\$(?!\d)/,
  ]
    .map(({ source }) => source)
    .join("|"),
  "gm",
);

type Groups = Partial<Record<"bracket" | "parenthesis" | "dollars" | "dollar", string>>;

export function markMath(text: string): string {
  // Most texts have no formula.
  if (!/[$\\]/.test(text)) return text;
  return text.replace(TOKEN, (match: string, ...rest: unknown[]) => {
    const groups = rest.at(-1) as Groups;
    const offset = rest.at(-3) as number;
    const display = groups.bracket ?? groups.dollars;
    if (display !== undefined) return displayed(text, match, offset, display);
    const inline = groups.parenthesis ?? groups.dollar;
    return inline === undefined ? match : inlined(inline);
  });
}

/** A block of its own if nothing else is on its lines. */
function displayed(text: string, match: string, offset: number, tex: string): string {
  const indent = text.slice(text.lastIndexOf("\n", offset - 1) + 1, offset);
  const [after = ""] = /^[^\n]*/.exec(text.slice(offset + match.length)) ?? [];
  if (indent.trim() !== "" || after.trim() !== "") return inlined(tex);
  const lines = tex.split("\n").filter((line) => line.trim() !== "");
  return ["$$", ...lines.map((line) => indent + line.trim()), `${indent}$$`].join("\n");
}

function inlined(tex: string): string {
  return `$$${tex.trim().replace(/\s*\n\s*/g, " ")}$$`;
}
