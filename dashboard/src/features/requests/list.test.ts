import { describe, expect, it } from "vitest";
import type { RequestRecord } from "../../api/types";
import { listRequests, NEWEST_FIRST, optionsOf, type Filters } from "./list";

const ALL: Filters = { text: "", outcome: "", model: "", keyName: "" };

function requestOf(request_id: string, changes: Partial<RequestRecord> = {}): RequestRecord {
  return {
    request_id,
    started_at: 0,
    key_name: "ada",
    operation: "chat",
    model: "pocket",
    stream: false,
    outcome: "stop",
    prompt_tokens: 1,
    cached_tokens: 0,
    output_tokens: 1,
    queue_seconds: null,
    prefill_seconds: null,
    decode_seconds: null,
    ttft_seconds: null,
    duration_seconds: null,
    error_kind: null,
    error_phase: null,
    ...changes,
  };
}

const a = requestOf("req-a", { started_at: 1, ttft_seconds: 0.5 });
const b = requestOf("req-b", {
  started_at: 3,
  key_name: "bob",
  outcome: "error",
  error_kind: "oom",
});
const c = requestOf("req-c", { started_at: 2, ttft_seconds: 2, stream: true });
const idsOf = (filters: Partial<Filters>, sort = NEWEST_FIRST) =>
  listRequests([a, b, c], { ...ALL, ...filters }, sort).map((request) => request.request_id);

describe("the list of requests", () => {
  it("starts with the newest", () => {
    expect(idsOf({})).toEqual(["req-b", "req-c", "req-a"]);
  });

  it("finds every word somewhere, whatever the case", () => {
    expect(idsOf({ text: "OOM bob" })).toEqual(["req-b"]);
    expect(idsOf({ text: "oom ada" })).toEqual([]);
    expect(idsOf({ text: "stream" })).toEqual(["req-c"]);
  });

  it("combines what is chosen", () => {
    expect(idsOf({ outcome: "stop", keyName: "ada" })).toEqual(["req-c", "req-a"]);
    expect(idsOf({ outcome: "error", keyName: "ada" })).toEqual([]);
    expect(idsOf({ model: "another" })).toEqual([]);
  });

  it("puts what was never measured last, whichever way it is sorted", () => {
    expect(idsOf({}, { column: "ttft", isDescending: true })).toEqual(["req-c", "req-a", "req-b"]);
    expect(idsOf({}, { column: "ttft", isDescending: false })).toEqual(["req-a", "req-c", "req-b"]);
  });

  it("offers what occurs, and keeps a choice that occurs no more", () => {
    expect(optionsOf(["stop", "error", "stop"], "timeout")).toEqual(["error", "stop", "timeout"]);
    expect(optionsOf(["stop"], "")).toEqual(["stop"]);
  });
});
