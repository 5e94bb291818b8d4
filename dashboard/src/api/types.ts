/**
 * Names for the types that are generated from the service's OpenAPI schema.
 *
 * It contains types only, so every folder may import it.
 */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Status = Schemas["StatusOut"];

export type Now = Schemas["NowOut"];

export type Series = Schemas["SeriesOut"];
export type SeriesSource = Schemas["SourceOut"];
export type Panel = Schemas["PanelOut"];

export type RequestList = Schemas["RequestsOut"];
export type Refusals = Schemas["RefusalsOut"];
export type RequestRecord = Schemas["RequestRecord"];
export type RunningRequest = Schemas["RunningOut"];

export type EventList = Schemas["EventsOut"];
export type ServiceEvent = Schemas["EventOut"];

export type EnginePage = Schemas["EnginePageOut"];

export type Scope = Schemas["Scope"];
export type KeyList = Schemas["KeysOut"];
export type KeyEntry = Schemas["KeyOut"];
export type KeyWithSecret = Schemas["KeyWithSecret"];
export type NewKey = Schemas["NewKey"];
export type KeyChange = Schemas["KeyChange"];
export type Rotation = Schemas["Rotation"];

export type Alerts = Schemas["AlertsOut"];
export type Alert = Schemas["AlertOut"];
export type Objective = Schemas["ObjectiveOut"];
export type Runbook = Schemas["RunbookOut"];

export type ModelList = Schemas["ModelList"];
export type ServedModel = Schemas["Model"];

export type TokenizeRequest = Schemas["TokenizeRequest"];
export type TokenCount = Schemas["TokenizeOut"];

export type CompletionRequest = Schemas["CompletionRequest"];
export type ChatRequest = Schemas["ChatCompletionRequest"];
/** A chat message. Its content is null if it has only calls, and has parts if it has images. */
export type ChatTurn = Schemas["Message"] & {
  role: "system" | "user" | "assistant" | "tool";
  content: string | Schemas["ContentPart"][] | null;
};
export type ToolDefinition = Schemas["ToolDefinition"];
export type Usage = Schemas["UsageOut"];
