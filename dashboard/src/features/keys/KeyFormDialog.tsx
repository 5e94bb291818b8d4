import { Button, Modal } from "@mantine/core";
import type { ReactNode, SubmitEvent } from "react";
import styles from "./KeyFormDialog.module.css";

interface KeyFormDialogProps {
  title: string;
  action: string;
  canSubmit: boolean;
  isBusy: boolean;
  problem: string | null;
  onSubmit: () => void;
  onClose: () => void;
  children: ReactNode;
}

/** A dialog with a form: its fields, the error of the last attempt, and a submit button. */
export function KeyFormDialog(props: KeyFormDialogProps) {
  const { title, action, canSubmit, isBusy, problem, onSubmit, onClose, children } = props;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (canSubmit) onSubmit();
  };
  return (
    <Modal opened onClose={onClose} title={title} closeButtonProps={{ "aria-label": "Close" }}>
      <form className={styles.form} onSubmit={submit}>
        {children}
        {problem !== null && (
          <p className={styles.problem} role="alert">
            {problem}
          </p>
        )}
        <div className={styles.buttons}>
          <Button variant="default" onClick={onClose}>
            Back
          </Button>
          <Button type="submit" disabled={!canSubmit} loading={isBusy}>
            {action}
          </Button>
        </div>
      </form>
    </Modal>
  );
}
