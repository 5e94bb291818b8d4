import { Button, Checkbox, PasswordInput } from "@mantine/core";
import { useEffect, useRef, useState, type SubmitEvent } from "react";
import { getStatus } from "../../api/endpoints";
import { useSession } from "../../api/session";
import styles from "./KeyForm.module.css";

const ANONYMOUS = "anonymous";
/** Other characters cannot be sent in a header. */
const IN_A_HEADER = /^[\x20-\x7e]*$/;
const NOT_ASCII = "A key contains only ASCII characters. Check what you pasted.";
const NO_KEY =
  "Enter an API key. The service printed one when it first started, and an administrator can create more.";
const UNKNOWN_KEY = "The service does not know this key. It does not require one.";

interface KeyFormProps {
  /** Why the service refused the previous key, in its words. */
  refusal: string | null;
  /** False if the service also answers without a key. */
  isKeyRequired?: boolean;
}

/** Accepts a key only after the service has accepted it. */
export function KeyForm({ refusal, isKeyRequired = true }: KeyFormProps) {
  const { accept } = useSession();
  const field = useRef<HTMLInputElement>(null);
  const [key, setKey] = useState("");
  const [isKept, setIsKept] = useState(false);
  const [isTrying, setIsTrying] = useState(false);
  const [problem, setProblem] = useState<string | null>(refusal);

  useEffect(() => field.current?.focus(), []);

  /** Shows what is wrong where the user can correct it. */
  const refuse = (words: string) => {
    setProblem(words);
    field.current?.focus();
  };

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const unusable = problemOf(key.trim(), isKeyRequired);
    if (unusable !== null) {
      refuse(unusable);
      return;
    }
    setIsTrying(true);
    setProblem(null);
    try {
      const status = await getStatus({ key: key.trim() });
      // A service that requires no key accepts any, but names the caller only for a key it knows.
      if (key.trim() !== "" && status.key.name === ANONYMOUS) refuse(UNKNOWN_KEY);
      else accept(key.trim(), isKept);
    } catch (error) {
      refuse(error instanceof Error ? error.message : String(error));
    } finally {
      setIsTrying(false);
    }
  };

  return (
    <form className={styles.form} onSubmit={(event) => void submit(event)}>
      <PasswordInput
        ref={field}
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

/** Why a key cannot be tried, or null. */
function problemOf(key: string, isKeyRequired: boolean): string | null {
  if (isKeyRequired && key === "") return NO_KEY;
  return IN_A_HEADER.test(key) ? null : NOT_ASCII;
}
