import { useRef } from "react";
import { IconButton } from "../../components/IconButton";
import { IconAttach, IconImage } from "../../components/icons";
import styles from "./AttachButtons.module.css";

interface AttachButtonsProps {
  onFiles: (files: File[]) => void;
  /** Why images cannot be attached, or null. */
  imageProblem: string | null;
}

/** Buttons that attach files to the message. */
export function AttachButtons({ onFiles, imageProblem }: AttachButtonsProps) {
  const texts = useRef<HTMLInputElement>(null);
  const images = useRef<HTMLInputElement>(null);
  return (
    <span className={styles.buttons}>
      <FileInput ref={texts} testId="files" onFiles={onFiles} />
      {/* A phone offers its camera. */}
      <FileInput ref={images} testId="images" accept="image/*" onFiles={onFiles} />
      <IconButton label="Attach text files" isQuiet onClick={() => texts.current?.click()}>
        <IconAttach />
      </IconButton>
      <IconButton
        label={imageProblem === null ? "Attach images" : `Attach images. ${imageProblem}`}
        isQuiet
        isDisabled={imageProblem !== null}
        onClick={() => images.current?.click()}
      >
        <IconImage />
      </IconButton>
    </span>
  );
}

interface FileInputProps {
  ref: React.Ref<HTMLInputElement>;
  testId: string;
  accept?: string;
  onFiles: (files: File[]) => void;
}

function FileInput({ ref, testId, accept, onFiles }: FileInputProps) {
  return (
    <input
      ref={ref}
      type="file"
      multiple
      hidden
      accept={accept}
      data-testid={testId}
      onChange={(event) => {
        onFiles([...(event.currentTarget.files ?? [])]);
        // So that the same file can be chosen again.
        event.currentTarget.value = "";
      }}
    />
  );
}
