import { Modal } from "@mantine/core";
import { useState } from "react";
import { useSession } from "../../api/session";
import { Markdown } from "../../components/markdown/Markdown";
import { shownMessages } from "./chat-state";
import { useChatState, useModel } from "./ChatProvider";
import { fenced } from "./fence";
import { buildRequest, findProblem } from "./settings";
import { buildSnippet, CODE_NAMES, LANGUAGES } from "./snippets";
import { askedTurns, withShortImages } from "./turns";
import picker from "./PresetPicker.module.css";
import styles from "./SnippetDialog.module.css";

/** The request for the last answer, with the current settings, as code for use elsewhere. */
export function SnippetDialog({ onClose }: { onClose: () => void }) {
  const [language, setLanguage] = useState(LANGUAGES[0] as (typeof LANGUAGES)[number]);
  const hasKey = useSession().key !== "";
  const model = useModel();
  const settings = useChatState((state) => state.settings);
  const asked = askedTurns(useChatState(shownMessages));
  const turns =
    asked.length > 0
      ? withShortImages(asked)
      : [{ role: "user" as const, content: "What is 7 plus 5?" }];
  const request = buildRequest(settings, model?.id ?? "", turns);
  const problem = findProblem(settings);
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
      {problem && (
        <p className={styles.note} data-tone="bad">
          {problem} The code does without.
        </p>
      )}
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
