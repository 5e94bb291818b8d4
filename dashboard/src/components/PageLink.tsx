import type { ComponentProps, MouseEvent } from "react";
import { openPage, searchOfPage } from "../lib/location";

interface PageLinkProps extends Omit<ComponentProps<"a">, "href" | "onClick"> {
  page: string;
  /** Parameters of the address to set, such as a filter of that page. */
  changes?: Record<string, string>;
}

/**
 * A link to a page of the dashboard. It can be opened in another tab, but a plain click stays
 * in this one, because only this one has the key.
 */
export function PageLink({ page, changes, children, ...rest }: PageLinkProps) {
  const follow = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openPage(page, changes);
  };
  return (
    <a href={searchOfPage(window.location.search, page, changes)} onClick={follow} {...rest}>
      {children}
    </a>
  );
}
