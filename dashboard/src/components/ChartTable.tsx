import { lineValue, timeWords, type Chart } from "../lib/chart";
import { ScrollRegion } from "./ScrollRegion";
import styles from "./ChartTable.module.css";

/** The same numbers as the chart, newest first. */
export function ChartTable({ chart }: { chart: Chart }) {
  const rows = chart.times.map((_, i) => i).reverse();
  return (
    <ScrollRegion label={`${chart.title}, table`} className={styles.scroll}>
      <table className={styles.table}>
        <thead>
          <tr>
            <th scope="col">time</th>
            {chart.lines.map((line) => (
              <th scope="col" key={line.name}>
                {line.name}
              </th>
            ))}
            {chart.samples && <th scope="col">n</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={chart.times[row]}>
              <th scope="row">{timeWords(chart, row)}</th>
              {chart.lines.map((line) => (
                <td key={line.name}>{lineValue(chart, line, row) ?? "–"}</td>
              ))}
              {chart.samples && <td>{chart.samples[row] ?? 0}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}
