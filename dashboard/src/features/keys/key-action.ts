import type { KeyEntry, KeyWithSecret } from "../../api/types";

/** The dialog that is open, and for which key. */
export type KeyAction =
  | { kind: "create" }
  | { kind: "change" | "rotate" | "revoke"; target: KeyEntry }
  | { kind: "show"; secret: KeyWithSecret };
