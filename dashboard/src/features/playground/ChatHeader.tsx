import { ActionIcon, Button, Popover, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { memo, useState } from "react";
import { IconButton } from "../../components/IconButton";
import { IconCode, IconDownload, IconEdit, IconSidebar, IconTune } from "../../components/icons";
import { activeConversation } from "./chat-state";
import { useChat, useChatState } from "./ChatProvider";
import { download } from "./download";
import { toJson, toMarkdown } from "./export";
import { SnippetDialog } from "./SnippetDialog";
import { fileNameOf } from "./titles";
import styles from "./ChatHeader.module.css";

interface ChatHeaderProps {
  isListOpen: boolean;
  areSettingsOpen: boolean;
  onList: () => void;
  onSettings: () => void;
}

/** The conversation's name, and the actions on the whole conversation. */
export const ChatHeader = memo(function ChatHeader(props: ChatHeaderProps) {
  const { isListOpen, areSettingsOpen, onList, onSettings } = props;
  const [isCodeOpen, code] = useDisclosure(false);
  return (
    <header className={styles.header}>
      <span className={styles.listToggle}>
        <IconButton label="Conversations" isQuiet isPressed={isListOpen} onClick={onList}>
          <IconSidebar />
        </IconButton>
      </span>
      <Title />
      <span className={styles.space} />
      <IconButton label="Show as code" isQuiet onClick={code.open}>
        <IconCode />
      </IconButton>
      <ExportMenu />
      <span className={styles.settingsToggle}>
        <IconButton label="Settings" isQuiet isPressed={areSettingsOpen} onClick={onSettings}>
          <IconTune />
        </IconButton>
      </span>
      {isCodeOpen && <SnippetDialog onClose={code.close} />}
    </header>
  );
});

function Title() {
  const chat = useChat();
  const id = useChatState((state) => activeConversation(state)?.id);
  const title = useChatState((state) => activeConversation(state)?.title ?? "New conversation");
  const [entered, setEntered] = useState<string | null>(null);
  if (id === undefined || entered === null) {
    return (
      <>
        <h1 className={styles.title}>{title}</h1>
        {id !== undefined && (
          <IconButton label="Rename" isQuiet onClick={() => setEntered(title)}>
            <IconEdit />
          </IconButton>
        )}
      </>
    );
  }
  const close = (isKept: boolean) => {
    if (isKept) chat.rename(id, entered);
    setEntered(null);
  };
  return (
    <TextInput
      className={styles.rename}
      size="xs"
      aria-label="Name of the conversation"
      maxLength={120}
      // eslint-disable-next-line jsx-a11y/no-autofocus -- the user has just asked to edit this
      autoFocus
      value={entered}
      onFocus={(event) => event.currentTarget.select()}
      onChange={(event) => setEntered(event.currentTarget.value)}
      onBlur={() => close(true)}
      onKeyDown={(event) => {
        if (event.key === "Enter") close(true);
        if (event.key === "Escape") close(false);
      }}
    />
  );
}

function ExportMenu() {
  const chat = useChat();
  const isEmpty = useChatState((state) => state.activeId === null);
  const [isOpen, menu] = useDisclosure(false);
  const save = (extension: "json" | "md") => {
    menu.close();
    const conversation = activeConversation(chat.store.get());
    if (!conversation) return;
    const name = fileNameOf(conversation.title, conversation.createdAt, extension);
    if (extension === "json") download(name, "application/json", toJson([conversation]));
    else download(name, "text/markdown", toMarkdown(conversation));
  };
  if (isEmpty) return null;
  return (
    <Popover
      opened={isOpen}
      onChange={(opened) => !opened && menu.close()}
      position="bottom-end"
      shadow="md"
      radius="md"
      trapFocus
    >
      <Popover.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          size={28}
          aria-label="Export"
          title="Export"
          onClick={menu.toggle}
        >
          <IconDownload />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown aria-label="Export" className={styles.menu}>
        <Button variant="default" size="xs" fullWidth onClick={() => save("md")}>
          Markdown, to read
        </Button>
        <Button variant="default" size="xs" fullWidth onClick={() => save("json")}>
          JSON, whole, to import again
        </Button>
      </Popover.Dropdown>
    </Popover>
  );
}
