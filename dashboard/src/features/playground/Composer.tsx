import { ActionIcon, Textarea } from "@mantine/core";
import { memo, useEffect, useRef, useState, type ClipboardEvent, type KeyboardEvent } from "react";
import { useLive } from "../../api/live";
import { IconSend, IconStop } from "../../components/icons";
import { useShortcuts } from "../../lib/shortcuts";
import { AttachButtons } from "./AttachButtons";
import { findBlind, hasPictures, readAttachment } from "./attachments";
import { isAnswering, isAwaitingResults, shownMessages } from "./chat-state";
import { useCanSend, useChat, useChatState, useModels, useProblem } from "./ChatProvider";
import { findExcess } from "./context";
import { ContextMeter } from "./ContextMeter";
import { isPicture, type Attachment } from "./conversation";
import { FileChips } from "./FileChips";
import { isSendKey } from "./keys";
import { contentOf } from "./turns";
import { useContextUse } from "./useContextUse";
import styles from "./Composer.module.css";

/** The message box. Enter sends, Shift+Enter adds a line, Esc stops the answer. */
export const Composer = memo(function Composer() {
  const chat = useChat();
  const canSend = useCanSend();
  const isStreaming = useChatState(isAnswering);
  const isAwaiting = useChatState(isAwaitingResults);
  const maxTokens = useChatState((state) => state.settings.sampling.max_tokens);
  const settingsProblem = useProblem();
  const { status } = useLive().connection;
  const [text, setText] = useState("");
  const { files, fileProblem, addFiles, setFiles } = useFiles();
  const draft = contentOf({ text: text.trim(), attachments: files });
  const { imageProblem, blindness } = useBlindness(files);
  const { use, isUncertain } = useContextUse(draft);
  const isReady = status?.health.is_ready ?? false;
  const excess = use && draft !== "" && !isStreaming ? findExcess(use, maxTokens) : null;
  const isEmpty = text.trim() === "" && files.length === 0;
  const isAllowed = !isAwaiting && excess === null && blindness === null;
  const canSubmit = canSend && isAllowed && !isEmpty;
  const stop = () => chat.stop();

  useShortcuts(isStreaming ? { Escape: stop } : {});

  const submit = useSubmit(canSubmit, isUncertain, () => {
    chat.send(text.trim(), files);
    setText("");
    setFiles([]);
  });

  const onKeyDown = (event: KeyboardEvent) => {
    if (!isSendKey(event)) return;
    event.preventDefault();
    submit();
  };

  const onPaste = (event: ClipboardEvent) => {
    const pasted = [...event.clipboardData.files];
    if (pasted.length === 0) return;
    event.preventDefault();
    addFiles(pasted);
  };

  return (
    <div
      role="presentation" // what it does for a pointer, its button does for the keyboard
      className={styles.composer}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault();
        addFiles([...event.dataTransfer.files]);
      }}
    >
      <div className={styles.box}>
        <FileChips files={files} onRemove={(i) => setFiles(files.toSpliced(i, 1))} />
        <div className={styles.row}>
          <AttachButtons onFiles={addFiles} imageProblem={imageProblem} />
          <Textarea
            className={styles.input}
            variant="unstyled"
            autosize
            minRows={1}
            maxRows={8}
            aria-label="Message"
            data-message
            placeholder={isReady ? "Message" : "The model is not ready yet"}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
            onKeyDown={onKeyDown}
            onPaste={onPaste}
          />
          {isStreaming ? (
            <ActionIcon size={34} radius="md" aria-label="Stop" onClick={stop}>
              <IconStop />
            </ActionIcon>
          ) : (
            <ActionIcon
              size={34}
              radius="md"
              aria-label="Send"
              disabled={!canSubmit}
              onClick={submit}
            >
              <IconSend />
            </ActionIcon>
          )}
        </div>
      </div>
      <div className={styles.footer}>
        {use ? <ContextMeter use={use} maxTokens={maxTokens} /> : <span />}
        <Hint
          problem={settingsProblem ?? blindness ?? excess ?? fileProblem}
          note={isAwaiting ? "First enter what the tools return." : null}
        />
      </div>
    </div>
  );
});

/** The files that go with the next message, and why one could not be added. */
function useFiles() {
  const [files, setFiles] = useState<Attachment[]>([]);
  const [fileProblem, setProblem] = useState<string | null>(null);
  const addFiles = async (added: File[]) => {
    const readings = await Promise.all(added.map(readAttachment));
    const read = readings.flatMap(({ value }) => (value === null ? [] : [value]));
    setFiles((before) => [...before, ...read]);
    setProblem(readings.flatMap(({ problem }) => problem ?? []).join(" ") || null);
  };
  return {
    files,
    fileProblem,
    setFiles: (next: Attachment[]) => {
      setFiles(next);
      setProblem(null);
    },
    addFiles: (added: File[]) => void addFiles(added),
  };
}

/** Why images cannot be attached, and why those that are there cannot be sent; null if they can. */
function useBlindness(files: Attachment[]) {
  const models = useModels();
  const blind = findBlind(
    useChatState((state) => state.settings),
    models,
  );
  const isShown = useChatState((state) => hasPictures(shownMessages(state)));
  const imageProblem = blind ? `${blind.id} does not see images.` : null;
  const isNeeded = isShown || files.some(isPicture);
  const remedy = isShown
    ? "Choose a model that does, or start a new conversation."
    : "Choose a model that does, or remove them.";
  return { imageProblem, blindness: isNeeded && imageProblem ? `${imageProblem} ${remedy}` : null };
}

/** Sends at once, or as soon as a long draft has been counted and fits. */
function useSubmit(canSubmit: boolean, isUncertain: boolean, send: () => void): () => void {
  const isWanted = useRef(false);
  const submit = () => {
    isWanted.current = canSubmit && isUncertain;
    if (canSubmit && !isUncertain) send();
  };
  useEffect(() => {
    if (!isWanted.current || isUncertain) return;
    isWanted.current = false;
    if (canSubmit) send();
  });
  return submit;
}

interface HintProps {
  /** What has to be corrected before anything can be sent. */
  problem: string | null;
  /** What has to be done first. */
  note: string | null;
}

/** Says why nothing can be sent, if that is so; else which keys there are. */
function Hint({ problem, note }: HintProps) {
  const reason = problem ?? note;
  return (
    <>
      <span role="status" className={styles.reason} data-tone={problem ? "bad" : "plain"}>
        {reason}
      </span>
      {reason === null && (
        <span className={styles.hint}>Enter sends · Shift + Enter adds a line · Esc stops</span>
      )}
    </>
  );
}
