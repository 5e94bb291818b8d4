import { useRef } from "react";
import { IconButton } from "../../components/IconButton";
import { IconAttach, IconImage } from "../../components/icons";
import { NO_IMAGES } from "./attachments";
import styles from "./AttachButtons.module.css";

/** Buttons that attach files to the message. */
export function AttachButtons({ onFiles }: { onFiles: (files: File[]) => void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <span className={styles.buttons}>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        data-testid="files"
        onChange={(event) => {
          onFiles([...(event.currentTarget.files ?? [])]);
          // So that the same file can be chosen again.
          event.currentTarget.value = "";
        }}
      />
      <IconButton label="Attach text files" isQuiet onClick={() => input.current?.click()}>
        <IconAttach />
      </IconButton>
      <IconButton
        label={`Attach an image. ${NO_IMAGES}`}
        isQuiet
        isDisabled
        onClick={() => undefined}
      >
        <IconImage />
      </IconButton>
    </span>
  );
}
