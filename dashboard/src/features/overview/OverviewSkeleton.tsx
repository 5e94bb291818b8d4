import { Skeleton } from "@mantine/core";
import board from "../../components/ChartBoard.module.css";
import tiles from "./TileGrid.module.css";
import styles from "./OverviewPage.module.css";

/** A placeholder in the shape of the overview, until the first answer comes. */
export function OverviewSkeleton({ hasTiles }: { hasTiles: boolean }) {
  return (
    <div className={styles.page} role="status" aria-busy="true" aria-label="Loading the overview">
      {hasTiles && (
        <div className={tiles.grid}>
          {Array.from({ length: 8 }, (_, i) => (
            <Skeleton key={i} height={118} radius="md" />
          ))}
        </div>
      )}
      <div className={board.charts}>
        {Array.from({ length: 6 }, (_, i) => (
          <Skeleton key={i} height={254} radius="md" />
        ))}
      </div>
    </div>
  );
}
