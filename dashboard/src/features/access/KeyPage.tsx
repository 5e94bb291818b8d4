import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { getServiceFacts } from "../../api/endpoints";
import { useSession } from "../../api/session";
import { BrandMark } from "../../components/BrandMark";
import { KeyForm } from "./KeyForm";
import styles from "./KeyPage.module.css";

/** The first page: asks for a key if the service requires one, and says where to find it. */
export function KeyPage() {
  const { accept, hasLeft } = useSession();
  const needsKey = useNeedsKey();
  const enter = () => accept("", false);
  useEffect(() => {
    if (needsKey === false && !hasLeft) accept("", false);
  }, [needsKey, hasLeft, accept]);
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <div className={styles.brand}>
          <BrandMark size={36} />
          <h1 className={styles.title}>llm_service</h1>
        </div>
        <p className={styles.lead}>
          Watch the latency, memory and requests of this service live, and try it in a playground.
        </p>
        {needsKey !== undefined && <KeyForm refusal={null} isKeyRequired={needsKey} />}
        {needsKey === false && (
          <Button variant="default" size="md" fullWidth mt="sm" onClick={enter}>
            Continue without a key
          </Button>
        )}
        <p className={styles.hint}>
          The service printed a key when it first started. Create another with{" "}
          <code>llm-service keys create --name me</code>
        </p>
      </div>
    </main>
  );
}

/** Whether the service requires a key; undefined until it has answered. */
function useNeedsKey(): boolean | undefined {
  const [needsKey, setNeedsKey] = useState<boolean>();
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    // Unlike the status, these facts are open to all, so the browser's log shows no refusal.
    getServiceFacts({ key: "", signal }).then(
      (facts) => setNeedsKey(facts.requires_keys),
      () => setNeedsKey(signal.aborted ? undefined : true),
    );
    return () => controller.abort();
  }, []);
  return needsKey;
}
