/** The service's JSON by the names used here; the shapes are generated from its OpenAPI schema. */

import type { SeriesResponse } from "../lib/series";
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Status = Schemas["StatusOut"];
export type ModelFacts = Schemas["ModelOut"];
export type EngineFacts = Schemas["EngineOut"];

export type RequestList = Schemas["RequestsOut"];
export type RequestRecord = Schemas["RequestRecord"];
export type RunningRequest = Schemas["RunningOut"];

export type EnginePage = Schemas["EnginePageOut"];

export type Scope = Schemas["Scope"];
export type KeyList = Schemas["KeysOut"];
export type KeyEntry = Schemas["KeyOut"];
export type KeyWithSecret = Schemas["KeyWithSecret"];
export type NewKey = Schemas["NewKey"];
export type KeyChange = Schemas["KeyChange"];

export type Alerts = Schemas["AlertsOut"];
export type Alert = Schemas["AlertOut"];
export type Objective = Schemas["ObjectiveOut"];
export type Runbook = Schemas["RunbookOut"];

/** What `GET /` tells everyone who is not asking for the page. */
export interface ServiceFacts {
  requires_keys: boolean;
}

export interface ModelList {
  data: { id: string }[];
}

/** Refuses to compile when the service's series are no longer what the charts read. */
export type Series = Schemas["SeriesOut"] extends SeriesResponse ? SeriesResponse : never;
