/**
 * Renders GitHub-flavoured Markdown without raw HTML and pictures; links are http(s) or mailto.
 *
 * The text may come from anyone: it cannot run scripts, load anything, or imitate our headings.
 */

import { createContext, memo, use, useMemo, type ComponentProps } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize, { defaultSchema } from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import remarkMath from "remark-math";
import { htmlAsText } from "./html-as-text";
import { splitBlocks } from "./blocks";
import { CodeBlock } from "./CodeBlock";
import { Formula } from "./Formula";
import { markMath } from "./math-text";
import styles from "./Markdown.module.css";

interface MarkdownBodyProps {
  text: string;
  isGrowing: boolean;
  onAnchor?: ((name: string) => void) | undefined;
}

export function MarkdownBody({ text, isGrowing, onAnchor }: MarkdownBodyProps) {
  const blocks = useMemo(() => splitBlocks(text), [text]);
  return (
    <AnchorContext value={onAnchor ?? null}>
      {blocks.map((block, i) => (
        <Block key={i} text={block} isGrowing={isGrowing && i === blocks.length - 1} />
      ))}
    </AnchorContext>
  );
}

const AnchorContext = createContext<((name: string) => void) | null>(null);

/** Links open in a new tab. A link within the document calls `onAnchor`, or is plain text. */
function Link({ href, children }: ComponentProps<"a">) {
  const onAnchor = use(AnchorContext);
  if (!href?.startsWith("#")) {
    return (
      <a href={href} target="_blank" rel="noopener noreferrer nofollow">
        {children}
      </a>
    );
  }
  if (!onAnchor) return <span>{children}</span>;
  return (
    <button type="button" className={styles.anchor} onClick={() => onAnchor(href.slice(1))}>
      {children}
    </button>
  );
}

const SCHEMA = {
  ...defaultSchema,
  attributes: {
    ...defaultSchema.attributes,
    code: [["className", /^language-./, "math-inline"] as [string, RegExp, string]],
  },
  protocols: { href: ["http", "https", "mailto"] },
};
const REMARK: ComponentProps<typeof ReactMarkdown>["remarkPlugins"] = [
  remarkGfm,
  // A single dollar sign is mostly money: math-text.ts decides.
  [remarkMath, { singleDollarTextMath: false }],
  htmlAsText,
];
const REHYPE: ComponentProps<typeof ReactMarkdown>["rehypePlugins"] = [[rehypeSanitize, SCHEMA]];

/** Memoized, so that complete blocks are not rendered again while the last one grows. */
const Block = memo(function Block({ text, isGrowing }: { text: string; isGrowing: boolean }) {
  return (
    <div className={styles.block}>
      <ReactMarkdown
        remarkPlugins={REMARK}
        rehypePlugins={REHYPE}
        components={isGrowing ? GROWING : COMPLETE}
      >
        {markMath(text)}
      </ReactMarkdown>
    </div>
  );
});

/** The component for each element. `node` is the parser's and must not become an attribute. */
const COMPLETE: Components = {
  // One level down: the page has its own h1.
  h1: ({ children }) => <h2>{children}</h2>,
  h2: ({ children }) => <h3>{children}</h3>,
  h3: ({ children }) => <h4>{children}</h4>,
  h4: ({ children }) => <h5>{children}</h5>,
  h5: ({ children }) => <h6>{children}</h6>,
  a: Link,
  // Loading a picture would tell its server who reads the page, so only its name is shown.
  img: ({ alt }) => <span className={styles.picture}>[picture{alt ? `: ${alt}` : ""}]</span>,
  // The check marks of a task list: a real checkbox would look clickable.
  input: ({ checked }) => <span aria-hidden>{checked ? "☑ " : "☐ "}</span>,
  table: ({ children }) => (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the arrow keys scroll it
    <section className={styles.table} tabIndex={0}>
      <table>{children}</table>
    </section>
  ),
  code: ({ className, children }) =>
    className?.includes("math-inline") ? (
      <Formula tex={typeof children === "string" ? children : ""} isDisplay={false} />
    ) : (
      <code className={className}>{children}</code>
    ),
  pre: ({ node }) => <CodeBlock node={node} isGrowing={false} />,
};

const GROWING: Components = {
  ...COMPLETE,
  pre: ({ node }) => <CodeBlock node={node} isGrowing />,
};
