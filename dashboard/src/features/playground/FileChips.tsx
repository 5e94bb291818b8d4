import { IconButton } from "../../components/IconButton";
import { IconClose } from "../../components/icons";
import { formatBytes } from "../../lib/units";
import type { Attachment } from "./conversation";
import styles from "./FileChips.module.css";

interface FileChipsProps {
  files: Attachment[];
  onRemove: (index: number) => void;
}

/** The files that will be sent with the message. */
export function FileChips({ files, onRemove }: FileChipsProps) {
  if (files.length === 0) return null;
  return (
    <ul className={styles.files} aria-label="Attached files">
      {files.map(({ name, text }, i) => (
        <li key={i} className={styles.file}>
          <span className={styles.name}>{name}</span>
          <span className={styles.size}>{formatBytes(new Blob([text]).size)}</span>
          <IconButton label={`Remove ${name}`} isQuiet onClick={() => onRemove(i)}>
            <IconClose />
          </IconButton>
        </li>
      ))}
    </ul>
  );
}
