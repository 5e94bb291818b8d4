/** The composition root: providers, the shell, and the page that the address names. */

import { createTheme, MantineProvider, Modal, Tooltip } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { LiveProvider } from "./api/live";
import { SessionProvider, useSession } from "./api/session";
import { KeyDialog } from "./features/access/KeyDialog";
import { KeyPage } from "./features/access/KeyPage";
import { OverviewPage } from "./features/overview/OverviewPage";
import { ChatProvider } from "./features/playground/ChatProvider";
import { PlaygroundPage } from "./features/playground/PlaygroundPage";
import { Shell, type PageLink } from "./features/shell/Shell";
import { useSearchParam } from "./lib/location";

const theme = createTheme({
  // Scroll locking writes a <style> element, which the content policy forbids.
  components: {
    Modal: Modal.extend({ defaultProps: { lockScroll: false, centered: true, radius: "md" } }),
    Tooltip: Tooltip.extend({ defaultProps: { multiline: true, maw: 320, withArrow: true } }),
  },
});

const PAGE_NAMES = ["overview", "playground"] as const;

const PAGES = {
  overview: OverviewPage,
  playground: PlaygroundPage,
};

const LINKS: PageLink[] = [
  { name: "overview", title: "Overview" },
  { name: "playground", title: "Playground" },
];

const queryClient = new QueryClient({
  // The service may be on this very machine: being offline is no reason not to ask.
  defaultOptions: { queries: { networkMode: "always" } },
});

export function App() {
  return (
    // Static style sheets only: see "Content policy" in dashboard/README.md.
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      withCssVariables={false}
      withGlobalClasses={false}
    >
      <QueryClientProvider client={queryClient}>
        <SessionProvider>
          <Pages />
        </SessionProvider>
      </QueryClientProvider>
    </MantineProvider>
  );
}

function Pages() {
  const { key } = useSession();
  const [page] = useSearchParam("page", PAGE_NAMES);
  const [isPaused, setPaused] = useState(false);
  useEffect(() => {
    // What one key was shown is not for the next one's eyes.
    if (key === null) queryClient.clear();
  }, [key]);
  if (key === null) return <KeyPage />;
  const Page = PAGES[page];
  return (
    <LiveProvider isPaused={isPaused} setPaused={setPaused}>
      <ChatProvider>
        <Shell page={page} links={LINKS}>
          <Page />
        </Shell>
        <KeyDialog />
      </ChatProvider>
    </LiveProvider>
  );
}
