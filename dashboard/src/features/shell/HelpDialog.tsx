import { Kbd, Modal } from "@mantine/core";
import { Fragment } from "react";
import styles from "./HelpDialog.module.css";

const SHORTCUTS = [
  ["p", "pause or resume"],
  ["t", "light or dark theme"],
  ["1 … 6", "the pages, in their order"],
  ["/", "filter the requests"],
  ["?", "this list"],
  ["drag", "zoom all charts into a stretch of time"],
  ["double click", "show the whole range again"],
  ["← →", "move the crosshair of a focused chart"],
  ["Enter", "send the message"],
  ["Shift + Enter", "new line in the message"],
  ["Esc", "stop the answer"],
] as const;

interface HelpDialogProps {
  isOpen: boolean;
  onClose: () => void;
}

export function HelpDialog({ isOpen, onClose }: HelpDialogProps) {
  return (
    <Modal
      opened={isOpen}
      onClose={onClose}
      title="Keyboard and mouse"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <dl className={styles.list}>
        {SHORTCUTS.map(([keys, words]) => (
          <Fragment key={keys}>
            <dt>
              <Kbd>{keys}</Kbd>
            </dt>
            <dd>{words}</dd>
          </Fragment>
        ))}
      </dl>
    </Modal>
  );
}
