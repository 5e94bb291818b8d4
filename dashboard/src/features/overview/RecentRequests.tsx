import { useState } from "react";
import type { RequestRecord } from "../../api/types";
import { PageLink } from "../../components/PageLink";
import { RequestList } from "../../components/requests/RequestList";
import styles from "./RecentRequests.module.css";

/** The newest requests: who, how it ended, how many tokens, where the time went. */
export function RecentRequests({ requests }: { requests: RequestRecord[] }) {
  const [openId, setOpenId] = useState("");
  return (
    <section className={styles.card} aria-label="Recent requests">
      <header className={styles.header}>
        <h2 className={styles.title}>Recent requests</h2>
        <PageLink page="requests" className={styles.all}>
          all requests
        </PageLink>
      </header>
      {requests.length === 0 ? (
        <p className={styles.empty}>No request yet. Send one from the playground.</p>
      ) : (
        <RequestList
          label="Recent requests"
          requests={requests}
          openId={openId}
          onOpen={setOpenId}
        />
      )}
    </section>
  );
}
