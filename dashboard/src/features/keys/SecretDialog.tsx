import { Button, Modal } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import type { KeyWithSecret } from "../../api/types";
import { IconCheck, IconCopy } from "../../components/icons";
import styles from "./SecretDialog.module.css";

interface SecretDialogProps {
  secret: KeyWithSecret;
  onClose: () => void;
}

/** The one time that a secret is seen. A click beside the dialog must not lose it. */
export function SecretDialog({ secret, onClose }: SecretDialogProps) {
  const clipboard = useClipboard({ timeout: 3000 });
  return (
    <Modal
      opened
      onClose={onClose}
      title={`The key ${secret.name}`}
      closeOnClickOutside={false}
      withCloseButton={false}
    >
      <p className={styles.words}>
        Copy it now: it is shown this once, and the service keeps only a hash of it.
      </p>
      <code className={styles.secret} data-testid="secret">
        {secret.key}
      </code>
      {clipboard.error && (
        <p className={styles.words} role="alert">
          The browser refused to copy. Select the text and copy it by hand.
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
        <Button onClick={onClose}>I have it</Button>
      </div>
    </Modal>
  );
}
