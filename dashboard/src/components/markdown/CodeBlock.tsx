import type { ExtraProps } from "react-markdown";
import { CopyButton } from "../CopyButton";
import { CodeText } from "./CodeText";
import { Formula } from "./Formula";
import styles from "./CodeBlock.module.css";

interface CodeBlockProps extends ExtraProps {
  /** True while it is being written. It is highlighted once it is complete. */
  isGrowing: boolean;
}

/** A formula, or a code block with its language, a copy button, and highlighting if the language is known. */
export function CodeBlock({ node, isGrowing }: CodeBlockProps) {
  const { text, language } = readCode(node);
  if (language === "math") return <Formula tex={text} isDisplay />;
  return (
    <figure className={styles.block}>
      <figcaption className={styles.bar}>
        <span className={styles.language}>{language || "text"}</span>
        <CopyButton text={text} />
      </figcaption>
      <CodeText text={text} language={language} isGrowing={isGrowing} />
    </figure>
  );
}

const PREFIX = "language-";

type Element = NonNullable<ExtraProps["node"]>;

/** Reads the text and the language x out of `pre > code.language-x > text`. */
function readCode(node: Element | undefined): { text: string; language: string } {
  const code = node?.children[0];
  if (code?.type !== "element") return { text: "", language: "" };
  const text = code.children.map((child) => (child.type === "text" ? child.value : "")).join("");
  const names = code.properties.className;
  const name = Array.isArray(names) ? names.map(String).find((n) => n.startsWith(PREFIX)) : null;
  return { text: text.replace(/\n$/, ""), language: name?.slice(PREFIX.length) ?? "" };
}
