import { Button, Popover } from "@mantine/core";
import { useSession } from "../../api/session";
import type { Status } from "../../api/types";
import { IconKey } from "../../components/icons";
import styles from "./KeyMenu.module.css";

/** Shows the name, scopes and limit of the key, and lets the user switch to another. */
export function KeyMenu({ status }: { status: Status | undefined }) {
  const { key: secret, leave } = useSession();
  const key = status?.key;
  const isWithout = secret === "";
  return (
    <Popover position="bottom-end" shadow="md" radius="md" trapFocus>
      <Popover.Target>
        <Button
          variant="default"
          size="xs"
          h={34}
          aria-label={isWithout ? "No key" : `Key ${key?.name ?? ""}`}
          leftSection={<IconKey />}
        >
          <span className={styles.name}>{isWithout ? "no key" : (key?.name ?? "key")}</span>
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label="Key">
        <dl className={styles.facts}>
          <dt>Key</dt>
          <dd>{isWithout ? "none (this service requires no key)" : (key?.name ?? "unknown")}</dd>
          <dt>Scopes</dt>
          <dd>{key?.scopes.join(", ") ?? "unknown"}</dd>
          <dt>Limit</dt>
          <dd>{key?.rpm ? `${key.rpm} requests per minute` : "none"}</dd>
          <dt>Limit storage</dt>
          <dd>{status?.limits.storage ?? "unknown"}</dd>
          <dt>Version</dt>
          <dd>{status?.version ?? "unknown"}</dd>
        </dl>
        <Button variant="default" size="xs" fullWidth onClick={leave}>
          {isWithout ? "Use a key" : "Use another key"}
        </Button>
      </Popover.Dropdown>
    </Popover>
  );
}
