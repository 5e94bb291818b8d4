import { ActionIcon, Popover, Tooltip } from "@mantine/core";
import { useState } from "react";
import { IconDownload } from "./icons";
import styles from "./DownloadMenu.module.css";

interface DownloadMenuProps {
  label: string;
  items: { name: string; onChoose: () => void }[];
}

/** A button that offers the formats of a download. */
export function DownloadMenu({ label, items }: DownloadMenuProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <Popover opened={isOpen} onChange={setOpen} position="bottom-end" shadow="md" trapFocus>
      <Popover.Target>
        <Tooltip label={label} openDelay={400}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size={28}
            aria-label={label}
            onClick={() => setOpen(!isOpen)}
          >
            <IconDownload />
          </ActionIcon>
        </Tooltip>
      </Popover.Target>
      <Popover.Dropdown aria-label={label} className={styles.menu}>
        {items.map(({ name, onChoose }) => (
          <button
            key={name}
            type="button"
            className={styles.item}
            onClick={() => {
              setOpen(false);
              onChoose();
            }}
          >
            {name}
          </button>
        ))}
      </Popover.Dropdown>
    </Popover>
  );
}
