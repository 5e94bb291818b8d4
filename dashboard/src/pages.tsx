/** The pages in the order of the navigation: their names in the address, and how each is loaded. */

import { lazy, type ComponentType } from "react";
import { IconBell, IconChat, IconChip, IconGauge, IconKey, IconList } from "./components/icons";
import type { ShownPage } from "./features/shell/shown-page";

interface PageEntry extends ShownPage {
  Page: ComponentType;
  /** Loads the page's own script; does nothing if it is loaded. */
  load: () => Promise<unknown>;
}

type Loader = () => Promise<{ default: ComponentType }>;

const entry = (link: ShownPage, load: Loader): PageEntry => ({ ...link, load, Page: lazy(load) });

export const PAGES: readonly [PageEntry, ...PageEntry[]] = [
  entry({ name: "overview", title: "Overview", icon: <IconGauge /> }, async () => ({
    default: (await import("./features/overview/OverviewPage")).OverviewPage,
  })),
  entry({ name: "requests", title: "Requests", icon: <IconList /> }, async () => ({
    default: (await import("./features/requests/RequestsPage")).RequestsPage,
  })),
  entry({ name: "engine", title: "Engine", icon: <IconChip /> }, async () => ({
    default: (await import("./features/engine/EnginePage")).EnginePage,
  })),
  entry({ name: "keys", title: "Keys", icon: <IconKey /> }, async () => ({
    default: (await import("./features/keys/KeysPage")).KeysPage,
  })),
  entry(
    { name: "alerts", title: "Alerts & SLO", shortTitle: "Alerts", icon: <IconBell /> },
    async () => ({ default: (await import("./features/alerts/AlertsPage")).AlertsPage }),
  ),
  entry(
    {
      name: "playground",
      title: "Playground",
      shortTitle: "Chat",
      icon: <IconChat />,
      isFilling: true,
    },
    async () => ({
      default: (await import("./features/playground/PlaygroundPage")).PlaygroundPage,
    }),
  ),
];
