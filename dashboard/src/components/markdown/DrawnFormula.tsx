/** Draws LaTeX as MathML, which the browser shows without styles or fonts of ours. */

import katex from "katex";
import { createElement, useMemo, type ReactNode } from "react";
import type { FormulaProps } from "./Formula";
import SourceFormula from "./SourceFormula";

export default function DrawnFormula({ tex, isDisplay }: FormulaProps) {
  const drawn = useMemo(() => draw(tex, isDisplay), [tex, isDisplay]);
  if (drawn === null) return <SourceFormula tex={tex} isDisplay={isDisplay} />;
  // React hides and shows what it waited for by a style, which MathML need not have.
  return <span>{drawn}</span>;
}

/** Null if it is not LaTeX. */
function draw(tex: string, isDisplay: boolean): ReactNode {
  try {
    const html = katex.renderToString(tex, {
      output: "mathml",
      displayMode: isDisplay,
      throwOnError: true,
      strict: "ignore",
    });
    const math = new DOMParser().parseFromString(withoutStyles(html), "text/html");
    return elementOf(math.querySelector("math"));
  } catch (error) {
    if (error instanceof katex.ParseError) return null;
    throw error;
  }
}

/** The content policy forbids them. In KaTeX' own output every other "style" is escaped. */
function withoutStyles(html: string): string {
  return html.replace(/ style="[^"]*"/g, "");
}

/** Text, and elements with attributes that neither load nor run anything. */
function elementOf(node: Node | null, key = 0): ReactNode {
  if (!(node instanceof Element)) return node?.textContent;
  const attributes = Array.from(node.attributes, ({ name, value }) => [name, value] as const);
  const kept = attributes.filter(([name]) => !/^(on|xmlns|style|class|href|src)/.test(name));
  const children = Array.from(node.childNodes, elementOf);
  return createElement(node.localName, { ...Object.fromEntries(kept), key }, ...children);
}
