import { IconButton } from "../../components/IconButton";
import { IconBack, IconChevron } from "../../components/icons";
import { useChat } from "./ChatProvider";
import type { Slot } from "./thread";
import styles from "./VersionPicker.module.css";

/** Steps through the versions of a message: ‹ 2/3 ›. Shows nothing if there is only one. */
export function VersionPicker({ index, count, before, after }: Slot) {
  const chat = useChat();
  if (count < 2) return null;
  const words = `${index + 1}/${count}`;
  return (
    <span className={styles.picker} role="group" aria-label={`Version ${index + 1} of ${count}`}>
      <IconButton
        label="Previous version"
        isQuiet
        isDisabled={before === null}
        onClick={() => before !== null && chat.choose(before)}
      >
        <IconBack />
      </IconButton>
      <span className={styles.words} aria-hidden>
        {words}
      </span>
      <IconButton
        label="Next version"
        isQuiet
        isDisabled={after === null}
        onClick={() => after !== null && chat.choose(after)}
      >
        <IconChevron />
      </IconButton>
    </span>
  );
}
