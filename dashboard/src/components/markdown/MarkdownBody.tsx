/**
 * Markdown as elements: GitHub's flavour, no raw HTML, no pictures, no address but http(s) and mail.
 *
 * Whoever wrote the text, it cannot run a script, load anything, or look like our own headings.
 */

import { createContext, memo, use, useMemo, type ComponentProps } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize, { defaultSchema } from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import { htmlAsText } from "./html-as-text";
import { splitBlocks } from "./blocks";
import { CodeBlock } from "./CodeBlock";
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

/** Links open apart. One within the document goes to whoever knows what lies there, or nowhere. */
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
  protocols: { href: ["http", "https", "mailto"] },
};
const REMARK = [remarkGfm, htmlAsText];
const REHYPE: ComponentProps<typeof ReactMarkdown>["rehypePlugins"] = [[rehypeSanitize, SCHEMA]];

/** Blocks that are complete keep their elements while the last one grows. */
const Block = memo(function Block({ text, isGrowing }: { text: string; isGrowing: boolean }) {
  return (
    <div className={styles.block}>
      <ReactMarkdown
        remarkPlugins={REMARK}
        rehypePlugins={REHYPE}
        components={isGrowing ? GROWING : COMPLETE}
      >
        {text}
      </ReactMarkdown>
    </div>
  );
});

/** What each element becomes; `node` is the parser's and is none of an element's attributes. */
const COMPLETE: Components = {
  // One step down: the page has its own h1.
  h1: ({ children }) => <h2>{children}</h2>,
  h2: ({ children }) => <h3>{children}</h3>,
  h3: ({ children }) => <h4>{children}</h4>,
  h4: ({ children }) => <h5>{children}</h5>,
  h5: ({ children }) => <h6>{children}</h6>,
  a: Link,
  // Loading a picture would tell its server who reads: only what it is called is shown.
  img: ({ alt }) => <span className={styles.picture}>[picture{alt ? `: ${alt}` : ""}]</span>,
  // The ticks of a task list: a real checkbox would promise that one can click it.
  input: ({ checked }) => <span aria-hidden>{checked ? "☑ " : "☐ "}</span>,
  table: ({ children }) => (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the arrow keys scroll it
    <div className={styles.table} tabIndex={0}>
      <table>{children}</table>
    </div>
  ),
  pre: ({ node }) => <CodeBlock node={node} isGrowing={false} />,
};

const GROWING: Components = {
  ...COMPLETE,
  pre: ({ node }) => <CodeBlock node={node} isGrowing />,
};
