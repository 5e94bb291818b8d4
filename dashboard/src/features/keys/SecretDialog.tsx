import { Button, Modal } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import type { KeyWithSecret } from "../../api/types";
import { IconCheck, IconCopy } from "../../components/icons";
import styles from "./SecretDialog.module.css";

interface SecretDialogProps {
  secret: KeyWithSecret;
  onClose: () => void;
}

/** Shows a secret for the only time, so a click outside must not close the dialog. */
export function SecretDialog({ secret, onClose }: SecretDialogProps) {
  const clipboard = useClipboard({ timeout: 3000 });
  return (
    <Modal
      opened
      onClose={onClose}
      title={`New secret of ${secret.name}`}
      closeOnClickOutside={false}
      withCloseButton={false}
    >
      <p className={styles.words}>
        Copy it now: it is shown only once. The service stores only a hash of it.
      </p>
      <code className={styles.secret} data-testid="secret">
        {secret.key}
      </code>
      {clipboard.error && (
        <p className={styles.words} role="alert">
          The browser refused to copy. Select the text and copy it manually.
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
