import { useLive } from "../../api/live";
import { BrandMark } from "../../components/BrandMark";
import { useCanSend, useChat, useChatState, useModel } from "./ChatProvider";
import { listSuggestions } from "./presets";
import styles from "./EmptyConversation.module.css";

export function EmptyConversation() {
  const chat = useChat();
  const canSend = useCanSend();
  const model = useModel();
  const isDemonstration = useLive().connection.status?.model?.is_demonstration ?? false;
  const current = useChatState((state) => state.settings);
  return (
    <div className={styles.empty}>
      <BrandMark size={40} />
      <h2 className={styles.title}>Ask {model?.id ?? "the model"} something</h2>
      <p className={styles.note}>
        {isDemonstration
          ? "A small demonstration model: it does arithmetic, sorts words, knows a few facts, tells short stories and calls tools."
          : "What you write is sent to this service and nowhere else."}
      </p>
      <ul className={styles.suggestions}>
        {listSuggestions(current, isDemonstration).map(({ title, text, settings }) => (
          <li key={text}>
            <button
              type="button"
              className={styles.suggestion}
              disabled={!canSend}
              onClick={() => {
                if (settings) chat.configure(settings);
                chat.send(text);
              }}
            >
              <span className={styles.kind}>{title}</span>
              {text}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
