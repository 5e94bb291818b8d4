/** What surrounds every page: header, connection, shortcuts. */

import { useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import { useState, type ReactNode } from "react";
import { useLive } from "../../api/live";
import { useShortcuts } from "../../lib/shortcuts";
import { ConnectionBanner } from "./ConnectionBanner";
import { Header } from "./Header";
import { HelpDialog } from "./HelpDialog";
import { Unreached } from "./Unreached";
import styles from "./Shell.module.css";

export interface PageLink {
  name: string;
  title: string;
}

interface ShellProps {
  page: string;
  links: PageLink[];
  children: ReactNode;
}

export function Shell({ page, links, children }: ShellProps) {
  const { connection, isPaused, setPaused } = useLive();
  const [isHelpOpen, setHelpOpen] = useState(false);
  const scheme = useComputedColorScheme();
  // Mantine's way of silencing transitions writes a <style> element.
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const toggleTheme = () => setColorScheme(scheme === "dark" ? "light" : "dark");
  const togglePause = () => setPaused(!isPaused);
  useShortcuts({ p: togglePause, t: toggleTheme, "?": () => setHelpOpen(!isHelpOpen) });

  useDocumentTitle(`${links.find((link) => link.name === page)?.title ?? page} · llm_service`);

  const isStale = connection.numFailures > 0;
  const hasBegun = connection.status !== undefined;
  return (
    <div className={styles.shell} data-page={page}>
      <Header
        page={page}
        links={links}
        scheme={scheme}
        onTheme={toggleTheme}
        onPause={togglePause}
        onHelp={() => setHelpOpen(true)}
      />
      {isStale && hasBegun && <ConnectionBanner connection={connection} />}
      <main className={styles.main} data-stale={isStale}>
        {isStale && !hasBegun ? <Unreached connection={connection} /> : children}
      </main>
      <HelpDialog isOpen={isHelpOpen} onClose={() => setHelpOpen(false)} />
    </div>
  );
}
