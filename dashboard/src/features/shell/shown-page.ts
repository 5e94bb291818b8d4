import type { ReactNode } from "react";

/** A page as the navigation shows it. */
export interface ShownPage {
  /** Its name in the address. */
  name: string;
  title: string;
  /** Replaces the title where there is little room. */
  shortTitle?: string;
  icon: ReactNode;
  /** The page fills the window and scrolls inside, rather than as a whole. */
  isFilling?: boolean;
}
