import type { Refusals } from "../../api/types";
import { ScrollRegion } from "../../components/ScrollRegion";
import { formatCount, formatDayAndSeconds } from "../../lib/units";
import styles from "./RefusedRequests.module.css";

interface RefusedRequestsProps {
  refused: Refusals[];
  onOpen: (requestId: string) => void;
}

/** Refused requests, counted by key and reason: a storm of them is one line. */
export function RefusedRequests({ refused, onOpen }: RefusedRequestsProps) {
  const count = refused.reduce((sum, each) => sum + each.count, 0);
  if (count === 0) return null;
  return (
    <section className={styles.card} aria-label="Refused requests">
      <h2 className={styles.title}>
        Refused <span className={styles.count}>{formatCount(count)}</span>
      </h2>
      <ScrollRegion label="Refused requests, table" className={styles.scroll}>
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">key</th>
              <th scope="col">reason</th>
              <th scope="col" data-number>
                count
              </th>
              <th scope="col">first</th>
              <th scope="col">last</th>
              <th scope="col">latest request</th>
            </tr>
          </thead>
          <tbody>
            {refused.map((each) => (
              <tr key={`${each.key_name} ${each.reason}`}>
                <td>{each.key_name}</td>
                <td>{each.reason.replaceAll("_", " ")}</td>
                <td data-number>{formatCount(each.count)}</td>
                <td>{formatDayAndSeconds(each.first_at)}</td>
                <td>{formatDayAndSeconds(each.last_at)}</td>
                <td>
                  <button
                    type="button"
                    className={styles.opener}
                    aria-label={`Show the latest request of ${each.key_name} refused for ${each.reason.replaceAll("_", " ")}`}
                    onClick={() => onOpen(each.last_request_id)}
                  >
                    show
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </ScrollRegion>
    </section>
  );
}
