/** The frame around every page: header, navigation, connection state, shortcuts. */

import { useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useRef, useState, type ReactNode } from "react";
import { useLive } from "../../api/live";
import { openPage } from "../../lib/location";
import { useShortcuts } from "../../lib/shortcuts";
import { ConnectionBanner } from "./ConnectionBanner";
import { Footer } from "./Footer";
import { Header } from "./Header";
import { HelpDialog } from "./HelpDialog";
import { Navigation } from "./Navigation";
import type { ShownPage } from "./shown-page";
import { SkipLink } from "./SkipLink";
import { Unreached } from "./Unreached";
import { useHeadingFocus } from "./useHeadingFocus";
import styles from "./Shell.module.css";

interface ShellProps {
  page: string;
  pages: readonly [ShownPage, ...ShownPage[]];
  children: ReactNode;
}

export function Shell({ page, pages, children }: ShellProps) {
  const { connection, isPaused, setPaused } = useLive();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const scheme = useComputedColorScheme();
  // Mantine disables transitions with a <style> element, which the content policy forbids.
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const toggleTheme = () => setColorScheme(scheme === "dark" ? "light" : "dark");
  const togglePause = () => setPaused(!isPaused);
  useShortcuts({
    p: togglePause,
    t: toggleTheme,
    "?": () => setHelpOpen(!isHelpOpen),
    ...Object.fromEntries(pages.map(({ name }, i) => [String(i + 1), () => openPage(name)])),
  });

  const link = pages.find(({ name }) => name === page) ?? pages[0];
  const main = useRef<HTMLElement>(null);
  useHeadingFocus(page, main);
  useDocumentTitle(`${link.title} · llm_service`);

  const isStale = connection.numFailures > 0;
  const hasBegun = connection.status !== undefined;
  return (
    <div className={styles.shell} data-filling={link.isFilling ?? false}>
      <SkipLink main={main} />
      <Header
        scheme={scheme}
        onTheme={toggleTheme}
        onPause={togglePause}
        onHelp={() => setHelpOpen(true)}
      />
      <Navigation page={page} pages={pages} />
      <div className={styles.body}>
        {isStale && hasBegun && <ConnectionBanner connection={connection} />}
        <main ref={main} id="main" tabIndex={-1} className={styles.main} data-stale={isStale}>
          {isStale && !hasBegun ? <Unreached connection={connection} /> : children}
        </main>
        {!link.isFilling && <Footer version={connection.status?.version} />}
      </div>
      <HelpDialog isOpen={isHelpOpen} onClose={() => setHelpOpen(false)} />
    </div>
  );
}
