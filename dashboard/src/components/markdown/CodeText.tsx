import { useEffect, useState, type ReactNode } from "react";
import styles from "./CodeBlock.module.css";

interface CodeTextProps {
  text: string;
  language: string;
  /** True while it is being written. It is highlighted once it is complete. */
  isGrowing: boolean;
}

/** Code, highlighted if the language is known. */
export function CodeText({ text, language, isGrowing }: CodeTextProps) {
  const colored = useHighlight(text, isGrowing ? "" : language);
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the arrow keys scroll it
    <pre className={styles.code} tabIndex={0} data-language={language}>
      {colored ?? text}
    </pre>
  );
}

function useHighlight(text: string, language: string): ReactNode {
  const [colored, setColored] = useState<{ text: string; content: ReactNode } | null>(null);
  useEffect(() => {
    if (language === "") return;
    let isCurrent = true;
    void import("./highlight")
      .then(({ highlight }) => {
        if (isCurrent) setColored({ text, content: highlight(text, language) });
      })
      // Without highlighting the code is still readable.
      .catch(() => undefined);
    return () => {
      isCurrent = false;
    };
  }, [text, language]);
  return colored?.text === text ? colored.content : null;
}
