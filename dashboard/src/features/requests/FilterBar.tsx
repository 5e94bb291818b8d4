import { Button, CloseButton, Kbd, NativeSelect, TextInput } from "@mantine/core";
import { useRef } from "react";
import { IconSearch } from "../../components/icons";
import { useShortcuts } from "../../lib/shortcuts";
import type { Filters } from "./list";
import styles from "./FilterBar.module.css";

export interface FilterOptions {
  outcomes: string[];
  models: string[];
  keyNames: string[];
}

interface FilterBarProps {
  filters: Filters;
  options: FilterOptions;
  onChange: (change: Partial<Filters>) => void;
}

/** Filters by text, outcome, key and model. "/" focuses the text. */
export function FilterBar({ filters, options, onChange }: FilterBarProps) {
  const search = useRef<HTMLInputElement>(null);
  useShortcuts({ "/": () => search.current?.focus() });
  const isFiltered = Object.values(filters).some((value) => value !== "");
  const clear = () => onChange({ text: "", outcome: "", model: "", keyName: "" });
  return (
    <div className={styles.bar} role="search">
      <TextInput
        ref={search}
        className={styles.text}
        aria-label="Filter the requests"
        placeholder="Filter by id, key, outcome, error …"
        leftSection={<IconSearch />}
        rightSection={
          filters.text === "" ? (
            <Kbd size="xs">/</Kbd>
          ) : (
            <CloseButton
              size="sm"
              aria-label="Clear the text"
              onClick={() => onChange({ text: "" })}
            />
          )
        }
        value={filters.text}
        onChange={(event) => onChange({ text: event.currentTarget.value })}
        onKeyDown={(event) => {
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      <Choice
        label="Outcome"
        all="outcome"
        options={options.outcomes}
        value={filters.outcome}
        onChange={(outcome) => onChange({ outcome })}
      />
      <Choice
        label="Key"
        all="key"
        options={options.keyNames}
        value={filters.keyName}
        onChange={(keyName) => onChange({ keyName })}
      />
      <Choice
        label="Model"
        all="model"
        options={options.models}
        value={filters.model}
        onChange={(model) => onChange({ model })}
      />
      {isFiltered && (
        <Button variant="subtle" color="gray" size="compact-sm" onClick={clear}>
          Clear all
        </Button>
      )}
    </div>
  );
}

interface ChoiceProps {
  label: string;
  /** The label of the empty choice. */
  all: string;
  options: string[];
  value: string;
  onChange: (value: string) => void;
}

function Choice({ label, all, options, value, onChange }: ChoiceProps) {
  return (
    <NativeSelect
      className={styles.choice}
      aria-label={label}
      data={[{ value: "", label: all }, ...options]}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
