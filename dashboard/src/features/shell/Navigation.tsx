import type { MouseEvent } from "react";
import { searchWith, useSearchParam } from "../../lib/location";
import type { PageLink } from "./Shell";
import styles from "./Navigation.module.css";

interface NavigationProps {
  page: string;
  links: PageLink[];
}

export function Navigation({ page, links }: NavigationProps) {
  const names = links.map((link) => link.name);
  const [, setPage] = useSearchParam("page", [names[0] ?? "", ...names.slice(1)]);
  const follow = (event: MouseEvent, name: string) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setPage(name);
  };
  return (
    <nav className={styles.nav} aria-label="Pages">
      {links.map(({ name, title }) => (
        <a
          key={name}
          className={styles.link}
          href={searchWith(window.location.search, "page", name)}
          aria-current={name === page ? "page" : undefined}
          onClick={(event) => follow(event, name)}
        >
          {title}
        </a>
      ))}
    </nav>
  );
}
