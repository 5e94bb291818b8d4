/** Splits an answer into running text and fenced code. Text only: nothing becomes markup. */

export interface Segment {
  kind: "text" | "code";
  content: string;
  language: string;
}

interface Fence {
  mark: string;
  language: string;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;

export function splitSegments(text: string): Segment[] {
  const segments: Segment[] = [];
  let lines: string[] = [];
  let fence = null as Fence | null;
  const close = () => {
    const content = lines.join("\n");
    const kind = fence ? "code" : "text";
    if (fence ?? content.trim()) {
      const trimmed = fence ? content : content.replace(/^\n+|\n+$/g, "");
      segments.push({ kind, content: trimmed, language: fence?.language ?? "" });
    }
    lines = [];
  };
  for (const line of text.split("\n")) {
    const [, mark, language = ""] = FENCE.exec(line) ?? [];
    const isClosing: boolean =
      fence !== null && mark !== undefined && mark.startsWith(fence.mark) && language === "";
    if (isClosing || (!fence && mark)) {
      close();
      fence = isClosing ? null : { mark: mark ?? "", language };
    } else {
      lines.push(line);
    }
  }
  close();
  return segments;
}
