import type { ReactNode, Ref } from "react";

interface ScrollRegionProps {
  label: string;
  className: string | undefined;
  role?: "region" | "log";
  onScroll?: () => void;
  ref?: Ref<HTMLDivElement>;
  children: ReactNode;
}

/** A region with its own scrolling. It is focusable, so that the arrow keys can scroll it. */
export function ScrollRegion({ label, role = "region", children, ...rest }: ScrollRegionProps) {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- see above
    <div role={role} aria-label={label} tabIndex={0} {...rest}>
      {children}
    </div>
  );
}
