import { Checkbox, NativeSelect, Textarea } from "@mantine/core";
import { memo, useState } from "react";
import { useLive } from "../../api/live";
import { useChat, useChatState, useModels } from "./ChatProvider";
import { PresetPicker } from "./PresetPicker";
import { OWN } from "./presets";
import { SamplingFields } from "./SamplingFields";
import { SchemaFields } from "./SchemaFields";
import { sideOf, type Side } from "./settings";
import { ToolFields } from "./ToolFields";
import picker from "./PresetPicker.module.css";
import styles from "./SettingsPanel.module.css";

/** The settings. They apply from the next message on and are stored with the conversation. */
export const SettingsPanel = memo(function SettingsPanel() {
  const chat = useChat();
  const settings = useChatState((state) => state.settings);
  const [isRight, setRight] = useState(false);
  const { right } = settings;
  const side = right !== null && isRight ? right : settings;
  const change = (some: Partial<Side>) =>
    right !== null && isRight ? chat.configureRight(some) : chat.configure(some);
  return (
    <div className={styles.panel}>
      <Comparison
        isOn={right !== null}
        isRight={isRight}
        onOn={(isOn) => {
          chat.configure({ right: isOn ? sideOf(settings) : null });
          setRight(isOn);
        }}
        onRight={setRight}
      />
      <SideFields side={side} onChange={change} />
      <ToolFields
        text={settings.tools}
        choice={settings.toolChoice}
        onText={(tools) => chat.configure({ tools })}
        onChoice={(toolChoice) => chat.configure({ toolChoice })}
      />
      <SchemaFields text={settings.schema} onText={(schema) => chat.configure({ schema })} />
    </div>
  );
});

interface ComparisonProps {
  isOn: boolean;
  isRight: boolean;
  onOn: (isOn: boolean) => void;
  onRight: (isRight: boolean) => void;
}

/** Two answers side by side, and whose settings are shown below. */
function Comparison({ isOn, isRight, onOn, onRight }: ComparisonProps) {
  return (
    <div className={styles.pair}>
      <Checkbox
        label="Two answers side by side"
        checked={isOn}
        onChange={(event) => onOn(event.currentTarget.checked)}
      />
      {isOn && (
        <div role="group" aria-label="Settings of" className={picker.options}>
          {["Left", "Right"].map((name) => {
            const isChosen = (name === "Right") === isRight;
            return (
              <button
                key={name}
                type="button"
                className={picker.option}
                aria-pressed={isChosen}
                onClick={() => onRight(name === "Right")}
              >
                {name}
              </button>
            );
          })}
        </div>
      )}
    </div>
  );
}

/** What can differ between two answers side by side. */
function SideFields({ side, onChange }: { side: Side; onChange: (some: Partial<Side>) => void }) {
  const models = useModels();
  const model = models.find(({ id }) => id === side.model) ?? models[0];
  return (
    <>
      <ModelField model={side.model} onChange={(id) => onChange({ model: id })} />
      <PresetPicker
        preset={side.preset}
        onChange={(preset, system) => onChange({ preset, system: system ?? side.ownSystem })}
      />
      <Textarea
        label="System prompt"
        placeholder="None"
        autosize
        minRows={3}
        maxRows={10}
        value={side.system}
        onChange={(event) => {
          const system = event.currentTarget.value;
          onChange({ preset: OWN, system, ownSystem: system });
        }}
      />
      <ReasoningField
        effort={side.reasoningEffort}
        onChange={(reasoningEffort) => onChange({ reasoningEffort })}
      />
      <SamplingFields
        sampling={side.sampling}
        defaults={model?.default_sampling ?? {}}
        onChange={(sampling) => onChange({ sampling })}
      />
    </>
  );
}

interface ModelFieldProps {
  /** null means the first model that the service lists. */
  model: string | null;
  onChange: (id: string) => void;
}

/** The models, and why none can answer yet. */
function ModelField({ model, onChange }: ModelFieldProps) {
  const models = useModels();
  const { status } = useLive().connection;
  const isGone = model !== null && models.length > 0 && !models.some(({ id }) => id === model);
  const state = !status
    ? "The service has not answered yet."
    : !status.health.is_ready
      ? `Not ready: ${status.health.reason || "the model is loading"}.`
      : models.length === 0
        ? "The list of models is loading."
        : isGone
          ? `The service no longer has ${model}: the first model answers.`
          : null;
  const isKnown = models.length > 0;
  return (
    <NativeSelect
      label="Model"
      description={state}
      inputWrapperOrder={["label", "input", "description"]}
      data={isKnown ? models.map(({ id }) => id) : [status?.health.is_ready ? "…" : "Loading…"]}
      disabled={!isKnown}
      value={(models.find(({ id }) => id === model) ?? models[0])?.id ?? ""}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

const EFFORTS = [
  { value: "", label: "The model's default" },
  { value: "none", label: "None" },
  { value: "low", label: "Low" },
  { value: "medium", label: "Medium" },
  { value: "high", label: "High" },
];

interface ReasoningFieldProps {
  effort: string | null;
  onChange: (effort: string | null) => void;
}

function ReasoningField({ effort, onChange }: ReasoningFieldProps) {
  return (
    <NativeSelect
      label="Reasoning effort"
      data={EFFORTS}
      value={effort ?? ""}
      onChange={(event) => onChange(event.currentTarget.value || null)}
    />
  );
}
