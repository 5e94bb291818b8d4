import { Button, Checkbox, PasswordInput } from "@mantine/core";
import { useState, type SubmitEvent } from "react";
import { getStatus } from "../../api/endpoints";
import { useSession } from "../../api/session";
import styles from "./KeyForm.module.css";

const ANONYMOUS = "anonymous";
/** Other characters cannot be sent in a header. */
const IN_A_HEADER = /^[\x20-\x7e]*$/;
const NOT_ASCII = "A key contains only ASCII characters. Check what you pasted.";
const UNKNOWN_KEY = "The service does not know this key. It does not require one.";

interface KeyFormProps {
  /** Why the service refused the previous key, in its words. */
  refusal: string | null;
}

/** Accepts a key only after the service has accepted it. */
export function KeyForm({ refusal }: KeyFormProps) {
  const { accept } = useSession();
  const [key, setKey] = useState("");
  const [isKept, setIsKept] = useState(false);
  const [isTrying, setIsTrying] = useState(false);
  const [problem, setProblem] = useState<string | null>(refusal);

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    if (!IN_A_HEADER.test(key.trim())) {
      setProblem(NOT_ASCII);
      return;
    }
    setIsTrying(true);
    setProblem(null);
    try {
      const status = await getStatus({ key: key.trim() });
      // A service that requires no key accepts any, but names the caller only for a key it knows.
      if (key.trim() !== "" && status.key.name === ANONYMOUS) setProblem(UNKNOWN_KEY);
      else accept(key.trim(), isKept);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setIsTrying(false);
    }
  };

  return (
    <form className={styles.form} onSubmit={(event) => void submit(event)}>
      <PasswordInput
        label="API key"
        size="md"
        autoComplete="off"
        spellCheck={false}
        data-autofocus
        value={key}
        onChange={(event) => setKey(event.currentTarget.value)}
        error={problem}
      />
      <Checkbox
        label="Keep for this tab"
        description="Otherwise the key is forgotten when the page reloads."
        checked={isKept}
        onChange={(event) => setIsKept(event.currentTarget.checked)}
      />
      <Button type="submit" size="md" loading={isTrying}>
        Open the dashboard
      </Button>
    </form>
  );
}
