import { useMemo } from "react";
import { JsonField } from "./JsonField";
import { EXAMPLE_SCHEMA, readSchema } from "./schema";

interface SchemaFieldsProps {
  text: string;
  onText: (text: string) => void;
}

/** The schema that the answer has to fit. */
export function SchemaFields({ text, onText }: SchemaFieldsProps) {
  const { value, problem } = useMemo(() => readSchema(text), [text]);
  return (
    <section aria-label="JSON schema">
      <JsonField
        title="JSON schema"
        placeholder="None: the answer is free text"
        example={EXAMPLE_SCHEMA}
        text={text}
        problem={problem}
        summary={value ? "The answer is JSON that fits this schema." : null}
        onChange={onText}
      />
    </section>
  );
}
