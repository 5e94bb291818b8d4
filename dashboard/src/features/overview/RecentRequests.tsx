import { useState } from "react";
import type { RequestRecord } from "../../api/types";
import { PageLink } from "../../components/PageLink";
import { useHeld } from "../../components/requests/held";
import { HeldRequests } from "../../components/requests/HeldRequests";
import { RequestList } from "../../components/requests/RequestList";
import { rowId } from "../../lib/requests";
import styles from "./RecentRequests.module.css";

/** The newest requests, each with its key, outcome, tokens and time per phase. */
export function RecentRequests({ requests }: { requests: RequestRecord[] }) {
  const [openId, setOpenId] = useState("");
  const isOpen = requests.some(({ request_id }) => request_id === openId);
  const held = useHeld(requests, rowId, isOpen);
  return (
    <section className={styles.card} aria-label="Recent requests">
      <header className={styles.header}>
        <h2 className={styles.title}>Recent requests</h2>
        <PageLink page="requests" className={styles.all}>
          all requests
        </PageLink>
      </header>
      {requests.length === 0 ? (
        <p className={styles.empty}>No requests yet. Send one from the playground.</p>
      ) : (
        <HeldRequests held={held}>
          <RequestList
            label="Recent requests"
            requests={held.items}
            openId={openId}
            onOpen={setOpenId}
          />
        </HeldRequests>
      )}
    </section>
  );
}
