import { BrandMark } from "../../components/BrandMark";
import { KeyForm } from "./KeyForm";
import styles from "./KeyPage.module.css";

/** The first thing one sees: asks for a key and says where to find one. */
export function KeyPage() {
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <div className={styles.brand}>
          <BrandMark size={36} />
          <h1 className={styles.title}>llm_service</h1>
        </div>
        <p className={styles.lead}>
          Live latency, memory and requests of this service, and a playground.
        </p>
        <KeyForm refusal={null} />
        <p className={styles.hint}>
          The service printed a key when it first started. Make another with{" "}
          <code>llm-service keys create --name me</code>
        </p>
      </div>
    </main>
  );
}
