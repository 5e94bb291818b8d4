import { describe, expect, it } from "vitest";
import { noteReplica, replicaWords, type SeenRequests } from "./replicas";

const from = (replica: string): SeenRequests => ({
  replica,
  running: [],
  requests: [],
  refused: [],
  complete_since: 0,
});

describe("the replica of a list", () => {
  it("is not worth a word as long as there is one", () => {
    const list = noteReplica(noteReplica(undefined, from("a-1")), from("a-1"));
    expect(replicaWords(list)).toBe("");
    expect(replicaWords(undefined)).toBe("");
  });

  it("is named once a second one has answered, whichever answers now", () => {
    const first = noteReplica(undefined, from("a-1"));
    const second = noteReplica(first, from("b-2"));
    expect(replicaWords(second)).toContain("b-2, one of 2");
    expect(replicaWords(noteReplica(second, from("a-1")))).toContain("a-1, one of 2");
  });

  it("is forgotten when it answers no more", () => {
    let list = noteReplica(undefined, from("before the restart"));
    for (let i = 0; i < 20; i++) list = noteReplica(list, from("after it"));
    expect(replicaWords(list)).toBe("");
  });
});
