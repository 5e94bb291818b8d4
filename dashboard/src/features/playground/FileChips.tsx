import { IconButton } from "../../components/IconButton";
import { IconClose } from "../../components/icons";
import { formatBytes } from "../../lib/units";
import { isPicture, type Attachment } from "./conversation";
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
      {files.map((file, i) => (
        <li key={i} className={styles.file}>
          {isPicture(file) && <img className={styles.thumbnail} src={file.image} alt="" />}
          <span className={styles.name}>{file.name}</span>
          <span className={styles.size}>{sizeOf(file)}</span>
          <IconButton label={`Remove ${file.name}`} isQuiet onClick={() => onRemove(i)}>
            <IconClose />
          </IconButton>
        </li>
      ))}
    </ul>
  );
}

function sizeOf(file: Attachment): string {
  return isPicture(file)
    ? `${file.width} × ${file.height}`
    : formatBytes(new Blob([file.text]).size);
}
