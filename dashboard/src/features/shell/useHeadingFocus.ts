import { useEffect, useRef, type RefObject } from "react";

/**
 * Moves the focus to the page's heading when another page has been opened, so that screen readers
 * say where one is and Tab goes on from there. Not when the dashboard itself is opened.
 */
export function useHeadingFocus(page: string, main: RefObject<HTMLElement | null>): void {
  const shown = useRef(page);
  useEffect(() => {
    if (shown.current === page || !main.current) return;
    shown.current = page;
    const before = document.activeElement;
    if (focusHeading(main.current)) return;
    // The page is still being loaded.
    const observer = new MutationObserver(() => {
      const isElsewhere =
        document.activeElement !== before && document.activeElement !== document.body;
      if (isElsewhere || (main.current && focusHeading(main.current))) observer.disconnect();
    });
    observer.observe(main.current, { childList: true, subtree: true });
    return () => observer.disconnect();
  }, [page, main]);
}

function focusHeading(main: HTMLElement): boolean {
  const heading = main.querySelector("h1");
  if (!heading) return false;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  return true;
}
