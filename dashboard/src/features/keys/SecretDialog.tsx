import { Button, Modal } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { useEffect, useState } from "react";
import type { KeyWithSecret } from "../../api/types";
import { IconCheck, IconCopy } from "../../components/icons";
import styles from "./SecretDialog.module.css";

interface SecretDialogProps {
  secret: KeyWithSecret;
  onClose: () => void;
}

/** Shows a secret for the only time: only its buttons close it before the secret was copied. */
export function SecretDialog({ secret, onClose }: SecretDialogProps) {
  const clipboard = useClipboard({ timeout: 3000 });
  const [hasCopied, setHasCopied] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const noteCopy = () => {
    setHasCopied(true);
    setAsking(false);
  };
  if (clipboard.copied && !hasCopied) noteCopy();
  useUnloadQuestion(!hasCopied);
  return (
    <Modal
      opened
      // Called for Esc only.
      onClose={() => (hasCopied ? onClose() : setAsking(true))}
      title={`New secret of ${secret.name}`}
      closeOnClickOutside={false}
      withCloseButton={false}
    >
      <p className={styles.words}>
        Copy it now: it is shown only once. The service stores only a hash of it.
      </p>
      <code className={styles.secret} data-testid="secret" onCopy={noteCopy}>
        {secret.key}
      </code>
      {clipboard.error && (
        <p className={styles.words} role="alert">
          The browser refused to copy. Select the text and copy it manually.
        </p>
      )}
      {isAsking && (
        <p className={styles.words} role="alert">
          The secret has not been copied yet, and it cannot be shown again. Close anyway?
        </p>
      )}
      <div className={styles.buttons}>
        <Button
          variant="default"
          leftSection={clipboard.copied ? <IconCheck /> : <IconCopy />}
          data-autofocus
          onClick={() => clipboard.copy(secret.key)}
        >
          {clipboard.copied ? "Copied" : "Copy"}
        </Button>
        <Button onClick={onClose}>{isAsking ? "Close without copying" : "I have it"}</Button>
      </div>
    </Modal>
  );
}

/** Makes the browser ask before the page is closed or reloaded. */
function useUnloadQuestion(isNeeded: boolean): void {
  useEffect(() => {
    if (!isNeeded) return;
    const ask = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [isNeeded]);
}
