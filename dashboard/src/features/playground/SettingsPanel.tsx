import { NativeSelect, NumberInput, Textarea } from "@mantine/core";
import { useChat } from "./ChatProvider";
import { PresetPicker } from "./PresetPicker";
import { OWN } from "./presets";
import { SliderField } from "./SliderField";
import styles from "./SettingsPanel.module.css";

/** Every control takes effect with the next message. */
export function SettingsPanel() {
  const { settings, models, change } = useChat();
  return (
    <div className={styles.panel}>
      <NativeSelect
        label="Model"
        data={models.length > 0 ? models : ["…"]}
        disabled={models.length === 0}
        value={settings.model ?? models[0] ?? "…"}
        onChange={(event) => change({ model: event.currentTarget.value })}
      />
      <PresetPicker
        preset={settings.preset}
        onChange={(preset, system) => change({ preset, ...(system === null ? {} : { system }) })}
      />
      <Textarea
        label="System prompt"
        placeholder="None"
        autosize
        minRows={3}
        maxRows={10}
        value={settings.system}
        onChange={(event) => change({ preset: OWN, system: event.currentTarget.value })}
      />
      <SliderField
        label="Temperature"
        hint="0 always takes the likeliest token"
        max={2}
        value={settings.temperature}
        onChange={(temperature) => change({ temperature })}
      />
      <SliderField
        label="Top p"
        hint="samples from the likeliest tokens that together reach this share"
        max={1}
        value={settings.topP}
        onChange={(topP) => change({ topP })}
      />
      <div className={styles.pair}>
        <NumberInput
          label="Max tokens"
          min={1}
          allowDecimal={false}
          value={settings.maxTokens}
          onChange={(value) => change({ maxTokens: Math.max(1, Number(value)) })}
        />
        <NumberInput
          label="Seed"
          placeholder="random"
          allowDecimal={false}
          allowNegative={false}
          value={settings.seed ?? ""}
          onChange={(value) => change({ seed: value === "" ? null : Number(value) })}
        />
      </div>
    </div>
  );
}
