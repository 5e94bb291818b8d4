import type { ComponentProps, MouseEvent } from "react";
import { openPage, searchWith } from "../lib/location";

interface PageLinkProps extends Omit<ComponentProps<"a">, "href" | "onClick"> {
  page: string;
}

/**
 * A link to a page of the dashboard. It can be opened in another tab, but a plain click stays
 * in this one, because only this one has the key.
 */
export function PageLink({ page, children, ...rest }: PageLinkProps) {
  const follow = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    openPage(page);
  };
  return (
    <a href={searchWith(window.location.search, { page })} onClick={follow} {...rest}>
      {children}
    </a>
  );
}
