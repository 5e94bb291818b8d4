import { ActionIcon, Tooltip } from "@mantine/core";
import type { ReactNode } from "react";

interface IconButtonProps {
  /** What the button does: its accessible name and its tooltip. */
  label: string;
  onClick: () => void;
  isQuiet?: boolean;
  isPressed?: boolean;
  children: ReactNode;
}

export function IconButton({ label, onClick, isQuiet, isPressed, children }: IconButtonProps) {
  return (
    <Tooltip label={label} openDelay={400}>
      <ActionIcon
        variant={isQuiet ? "subtle" : "default"}
        color="gray"
        size={isQuiet ? 28 : 34}
        aria-label={label}
        aria-pressed={isPressed}
        onClick={onClick}
      >
        {children}
      </ActionIcon>
    </Tooltip>
  );
}
