import type { AnswerStats } from "./conversation";
import { joinTimings } from "./speed";
import styles from "./TimingTable.module.css";

/** The service's account of a request beside what the browser saw of it. */
export function TimingTable({ stats }: { stats: AnswerStats }) {
  return (
    <div className={styles.box}>
      <table className={styles.table}>
        <thead>
          <tr>
            <td />
            <th scope="col">service</th>
            <th scope="col">browser</th>
          </tr>
        </thead>
        <tbody>
          {joinTimings(stats).map(({ name, service, browser }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{service ?? "–"}</td>
              <td>{browser ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className={styles.note}>
        {stats.record
          ? "What the browser sees besides is the network and the drawing."
          : "The service's own record needs a key with the scope metrics, or is no longer kept."}
        <br />
        Request <code>{stats.requestId}</code>
      </p>
    </div>
  );
}
