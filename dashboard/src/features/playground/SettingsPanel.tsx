import { NativeSelect, Textarea } from "@mantine/core";
import { memo } from "react";
import { useChat, useChatState, useModel, useModels } from "./ChatProvider";
import { PresetPicker } from "./PresetPicker";
import { OWN } from "./presets";
import { SamplingFields } from "./SamplingFields";
import { SchemaFields } from "./SchemaFields";
import { ToolFields } from "./ToolFields";
import styles from "./SettingsPanel.module.css";

/** The settings. They apply from the next message on and are stored with the conversation. */
export const SettingsPanel = memo(function SettingsPanel() {
  const chat = useChat();
  const models = useModels();
  const model = useModel();
  const settings = useChatState((state) => state.settings);
  return (
    <div className={styles.panel}>
      <NativeSelect
        label="Model"
        data={models.length > 0 ? models.map(({ id }) => id) : ["…"]}
        disabled={models.length === 0}
        value={model?.id ?? "…"}
        onChange={(event) => chat.configure({ model: event.currentTarget.value })}
      />
      <PresetPicker
        preset={settings.preset}
        onChange={(preset, system) =>
          chat.configure({ preset, system: system ?? settings.ownSystem })
        }
      />
      <Textarea
        label="System prompt"
        placeholder="None"
        autosize
        minRows={3}
        maxRows={10}
        value={settings.system}
        onChange={(event) => {
          const system = event.currentTarget.value;
          chat.configure({ preset: OWN, system, ownSystem: system });
        }}
      />
      <ToolFields
        text={settings.tools}
        choice={settings.toolChoice}
        onText={(tools) => chat.configure({ tools })}
        onChoice={(toolChoice) => chat.configure({ toolChoice })}
      />
      <SchemaFields text={settings.schema} onText={(schema) => chat.configure({ schema })} />
      <ReasoningField
        effort={settings.reasoningEffort}
        onChange={(reasoningEffort) => chat.configure({ reasoningEffort })}
      />
      <SamplingFields
        sampling={settings.sampling}
        defaults={model?.default_sampling ?? {}}
        onChange={(sampling) => chat.configure({ sampling })}
      />
    </div>
  );
});

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
