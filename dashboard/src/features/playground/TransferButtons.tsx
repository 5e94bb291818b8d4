import { Button } from "@mantine/core";
import { useRef, useState } from "react";
import { IconDownload, IconUpload } from "../../components/icons";
import { useChat, useChatState } from "./ChatProvider";
import { download } from "./download";
import { toJson } from "./export";
import { readExport } from "./import";
import { fileNameOf } from "./titles";
import styles from "./TransferButtons.module.css";

/** Imports conversations from files, and exports all of them into one. */
export function TransferButtons() {
  const chat = useChat();
  const isEmpty = useChatState((state) => state.conversations.length === 0);
  const input = useRef<HTMLInputElement>(null);
  const [report, setReport] = useState<Report | null>(null);
  const importFiles = async (files: File[]) => {
    const readings = await Promise.all(files.map(async (file) => readExport(await file.text())));
    const found = readings.flatMap(({ value }) => value ?? []);
    if (found.length > 0) chat.import(found);
    setReport(reportOf(found.length, files, readings));
  };
  const exportAll = () => {
    const { conversations } = chat.store.get();
    const name = fileNameOf("conversations", Date.now(), "json");
    download(name, "application/json", toJson(conversations));
  };
  return (
    <div>
      <div className={styles.buttons}>
        <input
          ref={input}
          type="file"
          accept=".json,application/json"
          multiple
          hidden
          data-testid="import"
          onChange={(event) => {
            void importFiles([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
        <Button
          variant="default"
          size="xs"
          leftSection={<IconUpload />}
          onClick={() => input.current?.click()}
        >
          Import
        </Button>
        <Button
          variant="default"
          size="xs"
          leftSection={<IconDownload />}
          disabled={isEmpty}
          onClick={exportAll}
        >
          Export all
        </Button>
      </div>
      <p role="status" className={styles.report} data-tone={report?.isBad ? "bad" : "plain"}>
        {report?.words}
      </p>
    </div>
  );
}

interface Report {
  words: string;
  isBad: boolean;
}

function reportOf(count: number, files: File[], readings: ReturnType<typeof readExport>[]): Report {
  const problems = readings.flatMap(({ problem }, i) =>
    problem === null ? [] : [`${files[i]?.name ?? "A file"}: ${problem}`],
  );
  const done =
    count === 1 ? "1 conversation was imported." : `${count} conversations were imported.`;
  return {
    words: [...(count > 0 ? [done] : []), ...problems].join(" "),
    isBad: problems.length > 0,
  };
}
