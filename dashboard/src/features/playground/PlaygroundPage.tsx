/** Talk to the model: streamed, measured, with every knob in reach. */

import { useDisclosure } from "@mantine/hooks";
import { Button } from "@mantine/core";
import { IconTrash, IconTune } from "../../components/icons";
import { useChat } from "./ChatProvider";
import { Composer } from "./Composer";
import { EmptyConversation } from "./EmptyConversation";
import { MessageList } from "./MessageList";
import { SettingsPanel } from "./SettingsPanel";
import styles from "./PlaygroundPage.module.css";

export function PlaygroundPage() {
  const { messages, clear } = useChat();
  const [areSettingsOpen, { toggle }] = useDisclosure(false);
  return (
    <div className={styles.page}>
      <h1 className={styles.heading}>Playground</h1>
      <section className={styles.chat} aria-label="Conversation">
        {messages.length === 0 ? <EmptyConversation /> : <MessageList messages={messages} />}
        <Composer>
          <span className={styles.settingsToggle}>
            <Button
              variant="subtle"
              color="gray"
              size="compact-sm"
              leftSection={<IconTune />}
              aria-expanded={areSettingsOpen}
              onClick={toggle}
            >
              Settings
            </Button>
          </span>
          {messages.length > 0 && (
            <Button
              variant="subtle"
              color="gray"
              size="compact-sm"
              leftSection={<IconTrash />}
              onClick={clear}
            >
              Clear
            </Button>
          )}
        </Composer>
      </section>
      <aside className={styles.settings} data-open={areSettingsOpen} aria-label="Settings">
        <SettingsPanel />
      </aside>
    </div>
  );
}
