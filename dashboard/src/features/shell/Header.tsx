import { useLive } from "../../api/live";
import { BrandMark } from "../../components/BrandMark";
import { IconButton } from "../../components/IconButton";
import { IconHelp, IconMoon, IconPause, IconPlay, IconSun } from "../../components/icons";
import { HealthBadge } from "./HealthBadge";
import { KeyMenu } from "./KeyMenu";
import styles from "./Header.module.css";

interface HeaderProps {
  scheme: "light" | "dark";
  onTheme: () => void;
  onPause: () => void;
  onHelp: () => void;
}

export function Header({ scheme, onTheme, onPause, onHelp }: HeaderProps) {
  const { connection, isPaused } = useLive();
  const { status } = connection;
  return (
    <header className={styles.header}>
      <span className={styles.brand}>
        <BrandMark size={26} />
        <span className={styles.name}>llm_service</span>
      </span>
      <p className={styles.model} title={status?.model?.summary}>
        {status?.model?.summary ?? ""}
      </p>
      <div className={styles.tools}>
        <HealthBadge connection={connection} isPaused={isPaused} />
        <IconButton
          label={isPaused ? "Resume (p)" : "Pause (p)"}
          isPressed={isPaused}
          onClick={onPause}
        >
          {isPaused ? <IconPlay /> : <IconPause />}
        </IconButton>
        <IconButton
          label={scheme === "dark" ? "Light theme (t)" : "Dark theme (t)"}
          onClick={onTheme}
        >
          {scheme === "dark" ? <IconSun /> : <IconMoon />}
        </IconButton>
        <span className={styles.help}>
          <IconButton label="Keyboard shortcuts (?)" onClick={onHelp}>
            <IconHelp />
          </IconButton>
        </span>
        <KeyMenu status={status} />
      </div>
    </header>
  );
}
