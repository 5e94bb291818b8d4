import type { MouseEvent } from "react";
import { searchWith } from "../../lib/location";
import type { PageLink } from "./Shell";
import styles from "./Navigation.module.css";

interface NavigationProps {
  page: string;
  links: readonly PageLink[];
  onFollow: (name: string) => void;
}

/** Real links, so that a page can be opened in another tab; a plain click stays in this one. */
export function Navigation({ page, links, onFollow }: NavigationProps) {
  const follow = (event: MouseEvent, name: string) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    onFollow(name);
    window.scrollTo(0, 0);
  };
  return (
    <nav className={styles.nav} aria-label="Pages">
      <div className={styles.list}>
        {links.map(({ name, title, shortTitle = title, icon }) => (
          <a
            key={name}
            className={styles.link}
            href={searchWith(window.location.search, { page: name })}
            title={title}
            aria-label={title}
            aria-current={name === page ? "page" : undefined}
            onClick={(event) => follow(event, name)}
          >
            {icon}
            <span className={styles.title}>{title}</span>
            <span className={styles.shortTitle}>{shortTitle}</span>
          </a>
        ))}
      </div>
    </nav>
  );
}
