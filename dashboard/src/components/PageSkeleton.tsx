import { Skeleton } from "@mantine/core";
import styles from "./PageSkeleton.module.css";

/** A placeholder while the script or the data of a page is loading. */
export function PageSkeleton() {
  return (
    <div className={styles.skeleton} aria-busy="true" aria-label="Loading the page">
      <Skeleton height={34} />
      <Skeleton height={118} radius="md" />
      <Skeleton height={320} radius="md" />
    </div>
  );
}
