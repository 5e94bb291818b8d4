/** What happened to the mock service: two events of a real one. */

export function buildEvents(startedAt) {
  return [
    { at: startedAt, kind: "start", words: "The service started (version 0.1.0)." },
    { at: startedAt + 2, kind: "load", words: "pocket was loaded." },
    {
      at: startedAt + 1700,
      kind: "limit",
      words: "The limit of batch-jobs was changed from 60 to 600 requests per minute.",
    },
  ];
}
