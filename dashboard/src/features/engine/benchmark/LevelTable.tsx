import { ScrollRegion } from "../../../components/ScrollRegion";
import { formatNumber, formatSeconds } from "../../../lib/units";
import type { Level } from "./levels";
import styles from "./Benchmark.module.css";

export function LevelTable({ levels }: { levels: Level[] }) {
  return (
    <ScrollRegion label="Results of the benchmark" className={styles.scroll}>
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">streams</th>
            <th scope="col">TTFT p50</th>
            <th scope="col">TTFT p95</th>
            <th scope="col">ITL p50</th>
            <th scope="col">ITL p95</th>
            <th scope="col">output tok/s</th>
          </tr>
        </thead>
        <tbody>
          {levels.map(({ streams, ttft, itl, tokensPerSecond }) => (
            <tr key={streams}>
              <th scope="row">{streams}</th>
              <td>{formatSeconds(ttft.p50)}</td>
              <td>{formatSeconds(ttft.p95)}</td>
              <td>{formatSeconds(itl.p50)}</td>
              <td>{formatSeconds(itl.p95)}</td>
              <td>{formatNumber(tokensPerSecond)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}
