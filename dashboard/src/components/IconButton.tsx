import { ActionIcon, Tooltip } from "@mantine/core";
import type { ReactNode } from "react";

interface IconButtonProps {
  /** What the button does: its accessible name and its tooltip. */
  label: string;
  onClick: () => void;
  isQuiet?: boolean;
  isPressed?: boolean;
  /** It can still be focused, so that the focus stays when its own click disables it. */
  isDisabled?: boolean;
  children: ReactNode;
}

export function IconButton(props: IconButtonProps) {
  const { label, onClick, isQuiet, isPressed, isDisabled, children } = props;
  return (
    <Tooltip label={label} openDelay={400}>
      <ActionIcon
        variant={isQuiet ? "subtle" : "default"}
        color="gray"
        size={isQuiet ? 28 : 34}
        aria-label={label}
        aria-pressed={isPressed}
        {...(isDisabled && { "aria-disabled": true, "data-disabled": true })}
        onClick={isDisabled ? undefined : onClick}
      >
        {children}
      </ActionIcon>
    </Tooltip>
  );
}
