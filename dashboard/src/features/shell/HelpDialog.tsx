import { Kbd, Modal } from "@mantine/core";
import { Fragment } from "react";
import styles from "./HelpDialog.module.css";

const SHORTCUTS = [
  ["p", "pause or resume updates"],
  ["t", "switch between light and dark theme"],
  ["1 … 6", "open a page, in the order of the navigation"],
  ["/", "filter the requests, or search the conversations"],
  ["?", "show this list"],
  ["drag", "zoom all charts to a time range"],
  ["double click", "show the time until now again"],
  ["click, Enter", "offer the requests of that point of a chart"],
  ["← →", "move the crosshair of the focused chart"],
  ["Enter", "send the message"],
  ["Shift + Enter", "start a new line in the message"],
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
