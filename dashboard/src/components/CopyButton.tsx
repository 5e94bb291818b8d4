import { useClipboard } from "@mantine/hooks";
import { IconButton } from "./IconButton";
import { IconCheck, IconCopy } from "./icons";

export function CopyButton({ text }: { text: string }) {
  const clipboard = useClipboard({ timeout: 1500 });
  const label = clipboard.copied
    ? "Copied"
    : clipboard.error
      ? "The browser refused to copy"
      : "Copy";
  return (
    <IconButton label={label} isQuiet onClick={() => clipboard.copy(text)}>
      {clipboard.copied ? <IconCheck /> : <IconCopy />}
    </IconButton>
  );
}
