/** Creates, changes, rotates and revokes keys, and shows their limits and usage. */

import { Button } from "@mantine/core";
import { useState } from "react";
import { getKeys } from "../../api/endpoints";
import { useHasScope, useLive, useLiveQuery } from "../../api/live";
import { useSession } from "../../api/session";
import type { KeyEntry, KeyWithSecret } from "../../api/types";
import { Notice } from "../../components/Notice";
import { PageHead } from "../../components/PageHead";
import { PageSkeleton } from "../../components/PageSkeleton";
import { QueryGate } from "../../components/QueryGate";
import { IconPlus } from "../../components/icons";
import { ChangeKeyDialog } from "./ChangeKeyDialog";
import { CreateKeyDialog } from "./CreateKeyDialog";
import type { KeyAction } from "./key-action";
import { KeyRows } from "./KeyRows";
import { RevokeDialog, RotateDialog } from "./KeyDialogs";
import { SecretDialog } from "./SecretDialog";
import styles from "./KeysPage.module.css";

const REFRESH_MILLISECONDS = 5000;

export function KeysPage() {
  const { connection } = useLive();
  const isAdmin = useHasScope("admin");
  if (connection.status && !isAdmin) return <MissingScope name={connection.status.key.name} />;
  return <Keys />;
}

function Keys() {
  const query = useLiveQuery(["keys"], getKeys, REFRESH_MILLISECONDS);
  const [action, setAction] = useState<KeyAction | null>(null);
  const keys = query.data?.keys ?? [];
  return (
    <div className={styles.page}>
      <PageHead title="Keys" lead="Who may call the service, how often, and until when.">
        <Button leftSection={<IconPlus />} onClick={() => setAction({ kind: "create" })}>
          Create a key
        </Button>
      </PageHead>
      <QueryGate query={query} placeholder={<PageSkeleton />}>
        {(data) => <KeyRows keys={data.keys} onDo={setAction} />}
      </QueryGate>
      <Dialog action={action} keys={keys} onDo={setAction} />
    </div>
  );
}

interface DialogProps {
  action: KeyAction | null;
  keys: KeyEntry[];
  onDo: (action: KeyAction | null) => void;
}

function Dialog({ action, keys, onDo }: DialogProps) {
  const close = () => onDo(null);
  const show = (secret: KeyWithSecret) => onDo({ kind: "show", secret });
  switch (action?.kind) {
    case "create":
      return <CreateKeyDialog keys={keys} onCreated={show} onClose={close} />;
    case "change":
      return <ChangeKeyDialog target={action.target} onClose={close} />;
    case "rotate":
      return <RotateDialog target={action.target} onRotated={show} onClose={close} />;
    case "revoke":
      return <RevokeDialog target={action.target} onClose={close} />;
    case "show":
      return <SecretDialog secret={action.secret} onClose={close} />;
    case undefined:
      return null;
  }
}

function MissingScope({ name }: { name: string }) {
  const isWithout = useSession().key === "";
  const title = isWithout ? "Managing keys requires a key" : "This key may not manage keys";
  return (
    <div className={styles.page}>
      <PageHead title="Keys" />
      <Notice tone="warn" title={title}>
        <p>
          {isWithout ? (
            "This service requires a key only for this page."
          ) : (
            <>
              The key <strong>{name}</strong> lacks the scope <code>admin</code>.
            </>
          )}{" "}
          Use a key with the scope <code>admin</code>: enter it in the menu at the top right.
        </p>
        <p>
          On the service&apos;s own machine you need no key:{" "}
          <code>llm-service keys create --name laptop --scopes inference,metrics,admin</code>
        </p>
      </Notice>
    </div>
  );
}
