import { Sparkline } from "../../components/Sparkline";
import type { Tile } from "./tiles";
import styles from "./TileGrid.module.css";

export function TileGrid({ tiles }: { tiles: Tile[] }) {
  return (
    <ul className={styles.grid} aria-label="Current values">
      {tiles.map((tile) => (
        <TileCard key={tile.label} tile={tile} />
      ))}
    </ul>
  );
}

function TileCard({ tile }: { tile: Tile }) {
  const isFaint = tile.value === null || tile.isWeak;
  return (
    <li className={styles.tile} data-tone={tile.tone}>
      <div className={styles.label}>{tile.label}</div>
      <div className={styles.value} data-faint={isFaint} data-empty={tile.value === null}>
        {tile.value ?? tile.emptyWords ?? "no traffic"}
      </div>
      <div className={styles.detail}>{tile.detail}</div>
      <Sparkline values={tile.values} />
    </li>
  );
}
