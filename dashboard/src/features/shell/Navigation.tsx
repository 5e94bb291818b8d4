import { PageLink } from "../../components/PageLink";
import type { ShownPage } from "./shown-page";
import styles from "./Navigation.module.css";

interface NavigationProps {
  page: string;
  pages: readonly ShownPage[];
}

export function Navigation({ page, pages }: NavigationProps) {
  return (
    <nav className={styles.nav} aria-label="Pages">
      <div className={styles.list}>
        {pages.map(({ name, title, shortTitle = title, icon }) => (
          <PageLink
            key={name}
            page={name}
            className={styles.link}
            title={title}
            aria-label={labelOf(title, shortTitle)}
            aria-current={name === page ? "page" : undefined}
          >
            {icon}
            <span className={styles.title}>{title}</span>
            <span className={styles.shortTitle}>{shortTitle}</span>
          </PageLink>
        ))}
      </div>
    </nav>
  );
}

/** Contains the words that are shown, whichever they are: people who speak commands say those. */
function labelOf(title: string, shortTitle: string): string {
  return title.includes(shortTitle) ? title : `${title} (${shortTitle})`;
}
