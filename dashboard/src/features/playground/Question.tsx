import { memo, useState } from "react";
import { CopyButton } from "../../components/CopyButton";
import { IconButton } from "../../components/IconButton";
import { IconEdit } from "../../components/icons";
import { formatBytes } from "../../lib/units";
import { useCanSend, useChat } from "./ChatProvider";
import { isPicture, type Attachment, type UserMessage } from "./conversation";
import { MessageEditor } from "./MessageEditor";
import type { Slot } from "./thread";
import { VersionPicker } from "./VersionPicker";
import styles from "./Question.module.css";

interface QuestionProps extends Slot {
  message: UserMessage;
}

/** A question of the user. Editing it adds a version, which gets its own answers. */
export const Question = memo(function Question({ message, ...slot }: QuestionProps) {
  const [isEditing, setEditing] = useState(false);
  if (isEditing) return <QuestionEditor message={message} onClose={() => setEditing(false)} />;
  const { text, attachments } = message;
  return (
    <div className={styles.row}>
      <span className={styles.actions}>
        <CopyButton text={text} />
        <IconButton label="Edit and ask again" isQuiet onClick={() => setEditing(true)}>
          <IconEdit />
        </IconButton>
      </span>
      <VersionPicker {...slot} />
      <div className={styles.bubble}>
        {text !== "" && <div className={styles.text}>{text}</div>}
        {attachments.length > 0 && <Files files={attachments} />}
      </div>
    </div>
  );
});

function Files({ files }: { files: Attachment[] }) {
  return (
    <div className={styles.files}>
      {files.map((file, i) =>
        isPicture(file) ? (
          <img
            key={i}
            className={styles.image}
            src={file.image}
            width={file.width || undefined}
            height={file.height || undefined}
            alt={file.name}
          />
        ) : (
          <details key={i} className={styles.file}>
            <summary>
              {file.name}{" "}
              <span className={styles.size}>{formatBytes(new Blob([file.text]).size)}</span>
            </summary>
            {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- the arrow keys scroll it */}
            <pre className={styles.content} tabIndex={0}>
              {file.text}
            </pre>
          </details>
        ),
      )}
    </div>
  );
}

function QuestionEditor({ message, onClose }: { message: UserMessage; onClose: () => void }) {
  const chat = useChat();
  return (
    <MessageEditor
      label="Edit the message"
      text={message.text}
      note="The question so far and what follows are kept as another version."
      action="Ask again"
      canSubmit={useCanSend()}
      onSubmit={(text) => chat.resend(message.id, text)}
      onClose={onClose}
    />
  );
}
