import { useLive } from "../../api/live";
import { useChat } from "./ChatProvider";
import { SUGGESTIONS } from "./presets";
import styles from "./EmptyConversation.module.css";

export function EmptyConversation() {
  const { canSend, send } = useChat();
  const { model } = useLive().connection.status ?? {};
  return (
    <div className={styles.empty}>
      <h2 className={styles.title}>Ask {model?.id ?? "the model"} something</h2>
      {model?.is_demonstration && (
        <p className={styles.note}>
          A small model for demonstration: arithmetic, sorting, facts it was taught, short stories.
        </p>
      )}
      <ul className={styles.suggestions}>
        {SUGGESTIONS.map((text) => (
          <li key={text}>
            <button
              type="button"
              className={styles.suggestion}
              disabled={!canSend}
              onClick={() => send(text)}
            >
              {text}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
