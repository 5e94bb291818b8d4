import { Drawer, Skeleton } from "@mantine/core";
import "@mantine/core/styles/Drawer.css";
import { getRunbook } from "../../api/endpoints";
import { useLiveQuery } from "../../api/live";
import { Markdown } from "../../components/markdown/Markdown";
import { QueryGate } from "../../components/QueryGate";
import styles from "./RunbookDrawer.module.css";

interface RunbookDrawerProps {
  /** The name of the alert; null while the drawer is closed. */
  name: string | null;
  /** Called when the user follows a link to another runbook. */
  onOpen: (name: string) => void;
  onClose: () => void;
}

const REFRESH_MILLISECONDS = 600_000;

/** The section of docs/runbooks.md that says what to do about an alert. */
export function RunbookDrawer({ name, onOpen, onClose }: RunbookDrawerProps) {
  return (
    <Drawer.Root
      opened={name !== null}
      onClose={onClose}
      position="right"
      size="lg"
      lockScroll={false}
    >
      <Drawer.Overlay />
      <Drawer.Content>
        {/* Not Drawer.Header: a second <header> would count as the page's banner. */}
        <div className={styles.head}>
          <Drawer.Title>{name}</Drawer.Title>
          <Drawer.CloseButton aria-label="Close" />
        </div>
        <Drawer.Body>
          {name !== null && <RunbookText key={name} name={name} onOpen={onOpen} />}
        </Drawer.Body>
      </Drawer.Content>
    </Drawer.Root>
  );
}

function RunbookText({ name, onOpen }: { name: string; onOpen: (name: string) => void }) {
  const query = useLiveQuery(
    ["runbook", name],
    (call) => getRunbook(call, name),
    REFRESH_MILLISECONDS,
  );
  return (
    <QueryGate query={query} placeholder={<Skeleton height={240} />}>
      {({ markdown }) => <Markdown text={markdown} onAnchor={onOpen} />}
    </QueryGate>
  );
}
