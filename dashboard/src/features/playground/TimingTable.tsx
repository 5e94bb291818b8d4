import type { AnswerMessage } from "./conversation";
import { listMaking } from "./making";
import { joinTimings } from "./speed";
import styles from "./TimingTable.module.css";

/** The service's measurements of a request beside those of the browser. */
export function TimingTable({ answer }: { answer: AnswerMessage }) {
  const { stats, making, numContinued } = answer;
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
          ? "The browser's times also include the network and rendering."
          : "There is no record from the service: it needs a key with the scope metrics, or it is no longer kept."}
        {numContinued > 0 && " All of these are those of the last continuation."}
        {making && (
          <>
            <br />
            Made with {listMaking(making).join(" · ")}
          </>
        )}
        <br />
        Request <code>{stats.requestId}</code>
      </p>
    </div>
  );
}
