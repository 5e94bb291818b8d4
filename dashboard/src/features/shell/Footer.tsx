import { Modal } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import { PageSkeleton } from "../../components/PageSkeleton";
import styles from "./Footer.module.css";

const ReleaseNotes = lazy(async () => ({
  default: (await import("./ReleaseNotes")).ReleaseNotes,
}));

/** Names the version of the service, which opens the release notes. */
export function Footer({ version }: { version: string | undefined }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <footer className={styles.footer}>
      <button type="button" className={styles.version} onClick={() => setOpen(true)}>
        llm_service {version ?? ""}: release notes
      </button>
      <Modal
        opened={isOpen}
        onClose={() => setOpen(false)}
        title="Release notes"
        size="xl"
        closeButtonProps={{ "aria-label": "Close" }}
      >
        <Suspense fallback={<PageSkeleton />}>
          <ReleaseNotes />
        </Suspense>
      </Modal>
    </footer>
  );
}
