import { Modal } from "@mantine/core";
import { useState } from "react";
import { useSession } from "../../api/session";
import { Markdown } from "../../components/markdown/Markdown";
import { activeConversation } from "./chat-state";
import { useChatState, useModel } from "./ChatProvider";
import { askedTurns } from "./conversation";
import { buildRequest } from "./settings";
import { buildSnippet, CODE_NAMES, LANGUAGES } from "./snippets";
import picker from "./PresetPicker.module.css";
import styles from "./SnippetDialog.module.css";

/** The request for the last answer, with the current settings, as code for use elsewhere. */
export function SnippetDialog({ onClose }: { onClose: () => void }) {
  const [language, setLanguage] = useState(LANGUAGES[0] as (typeof LANGUAGES)[number]);
  const hasKey = useSession().key !== "";
  const model = useModel();
  const settings = useChatState((state) => state.settings);
  const messages = useChatState((state) => activeConversation(state)?.messages);
  const asked = askedTurns(messages ?? []);
  const turns =
    asked.length > 0 ? asked : [{ role: "user" as const, content: "What is 7 plus 5?" }];
  const request = buildRequest(settings, model?.id ?? "", turns);
  const code = buildSnippet(language, request, { origin: window.location.origin, hasKey });
  return (
    <Modal
      opened
      onClose={onClose}
      size="xl"
      title="This request as code"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      <div className={picker.options} role="group" aria-label="Language">
        {LANGUAGES.map((name) => (
          <button
            key={name}
            type="button"
            className={picker.option}
            aria-pressed={name === language}
            onClick={() => setLanguage(name)}
          >
            {name}
          </button>
        ))}
      </div>
      <div className={styles.code}>
        <Markdown text={fenced(code, CODE_NAMES[language])} />
      </div>
      <p className={styles.note}>
        {hasKey ? (
          <>
            The key is left out: set it in the environment variable <code>LLM_KEY</code>.
          </>
        ) : (
          "This service requires no key."
        )}
      </p>
    </Modal>
  );
}

/** Fences the code with more backticks than it contains, so that nothing in it ends the block. */
function fenced(code: string, name: string): string {
  const longest = Math.max(2, ...Array.from(code.matchAll(/`+/g), ([marks]) => marks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${name}\n${code.trimEnd()}\n${fence}`;
}
