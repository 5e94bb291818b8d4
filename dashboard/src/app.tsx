/** The composition root: providers, the shell, and the page that the address names. */

import { createTheme, MantineProvider, Modal, Tooltip } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { Suspense, useEffect, useState } from "react";
import { LiveProvider } from "./api/live";
import { SessionProvider, useSession } from "./api/session";
import { KeyDialog } from "./features/access/KeyDialog";
import { KeyPage } from "./features/access/KeyPage";
import { ChatProvider } from "./features/playground/ChatProvider";
import { PageBoundary } from "./features/shell/PageBoundary";
import { PageSkeleton } from "./components/PageSkeleton";
import { Shell } from "./features/shell/Shell";
import { useSearchParam } from "./lib/location";
import { PAGES } from "./pages";

const theme = createTheme({
  // Scroll locking writes a <style> element, which the content policy forbids.
  components: {
    Modal: Modal.extend({
      defaultProps: {
        lockScroll: false,
        centered: true,
        radius: "md",
        // Its <header> must not count as the page's banner.
        attributes: { header: { role: "none" } },
      },
    }),
    Tooltip: Tooltip.extend({ defaultProps: { multiline: true, maw: 320, withArrow: true } }),
  },
});

const [FIRST, ...OTHERS] = PAGES;

const queryClient = new QueryClient({
  // The service may run on this machine, so it can be reached even offline.
  defaultOptions: { queries: { networkMode: "always" }, mutations: { networkMode: "always" } },
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
  const [name] = useSearchParam("page", [FIRST.name, ...OTHERS.map((page) => page.name)]);
  const [isPaused, setPaused] = useState(false);
  useEffect(() => {
    // The next key must not see the data of this one.
    if (key === null) queryClient.clear();
    else loadWhenIdle();
  }, [key]);
  if (key === null) return <KeyPage />;
  const { Page } = PAGES.find((page) => page.name === name) ?? FIRST;
  return (
    <LiveProvider isPaused={isPaused} setPaused={setPaused}>
      <ChatProvider>
        <Shell page={name} pages={PAGES}>
          <PageBoundary key={name}>
            <Suspense fallback={<PageSkeleton />}>
              <Page />
            </Suspense>
          </PageBoundary>
        </Shell>
        <KeyDialog />
      </ChatProvider>
    </LiveProvider>
  );
}

/** Loads the other pages in advance, so that they open even if the service is away. */
function loadWhenIdle(): void {
  setTimeout(() => {
    for (const page of PAGES) void page.load().catch(() => undefined);
  }, 3000);
}
