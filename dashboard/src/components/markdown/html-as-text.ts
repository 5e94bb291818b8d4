/** A remark plugin that shows HTML in Markdown as text. Sanitizing alone would drop it. */

interface Node {
  type: string;
  value?: string;
  children?: Node[];
}

export function htmlAsText() {
  return (tree: Node): void => replaceHtml(tree);
}

const PHRASING_PARENTS = new Set([
  "paragraph",
  "heading",
  "emphasis",
  "strong",
  "delete",
  "link",
  "tableCell",
]);

function replaceHtml(parent: Node): void {
  if (!parent.children) return;
  parent.children = parent.children.map((node) => {
    replaceHtml(node);
    if (node.type !== "html") return node;
    const text: Node = { type: "text", value: node.value ?? "" };
    return PHRASING_PARENTS.has(parent.type) ? text : { type: "paragraph", children: [text] };
  });
}
