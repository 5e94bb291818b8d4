import { NativeSelect } from "@mantine/core";
import { useMemo } from "react";
import { JsonField } from "./JsonField";
import { EXAMPLE_TOOLS, readTools, type ToolChoice } from "./tools";
import styles from "./SettingsPanel.module.css";

interface ToolFieldsProps {
  text: string;
  choice: ToolChoice;
  onText: (text: string) => void;
  onChoice: (choice: ToolChoice) => void;
}

/** The tools as JSON, and once there are some, which of them the model calls. */
export function ToolFields({ text, choice, onText, onChoice }: ToolFieldsProps) {
  const { value, problem } = useMemo(() => readTools(text), [text]);
  const names = value?.map((tool) => tool.function.name) ?? [];
  return (
    <section className={styles.pair} aria-label="Tools">
      <JsonField
        title="Tools"
        placeholder="A JSON list of functions, in OpenAI's form"
        example={EXAMPLE_TOOLS}
        text={text}
        problem={problem}
        summary={names.length > 0 ? summarize(names) : null}
        onChange={onText}
      />
      {names.length > 0 && <ChoiceField names={names} choice={choice} onChange={onChoice} />}
    </section>
  );
}

function summarize(names: string[]): string {
  return `${names.length === 1 ? "1 tool" : `${names.length} tools`}: ${names.join(", ")}`;
}

const MODES = [
  { value: "auto", label: "The model decides (auto)" },
  { value: "none", label: "Calls none (none)" },
  { value: "required", label: "Calls at least one (required)" },
] as const;

/** Names have a prefix, because a tool may be called "none". */
const PREFIX = "name:";

interface ChoiceFieldProps {
  names: string[];
  choice: ToolChoice;
  onChange: (choice: ToolChoice) => void;
}

function ChoiceField({ names, choice, onChange }: ChoiceFieldProps) {
  const named = names.map((name) => ({ value: PREFIX + name, label: `Calls ${name}` }));
  const chosen = typeof choice === "string" ? choice : PREFIX + choice.name;
  const options = [...MODES, ...named];
  return (
    <NativeSelect
      label="Tool choice"
      data={options}
      value={options.some(({ value }) => value === chosen) ? chosen : "auto"}
      onChange={(event) => {
        const { value } = event.currentTarget;
        const mode = MODES.find((each) => each.value === value);
        onChange(mode ? mode.value : { name: value.slice(PREFIX.length) });
      }}
    />
  );
}
