"""The record of one inference request: numbers and names, never text.

The API layer makes one `RequestRecord` per request, fills it in at the request's one
end and hands it to the metrics, the history and (as `scope["state"]["record"]`) the
access line.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

OPERATIONS = ("chat", "completion", "response", "message", "embedding")
OUTCOMES = (
    "stop",
    "length",
    "tool_calls",  # ended by itself, with calls whose results it waits for
    "cancelled",
    "timeout",
    "error",
    "rejected",  # refused before any work
)
ERROR_KINDS = (
    "validation",
    "context_length",
    "rate_limit",  # the caller's doing; "overloaded" is the service's
    "loading",  # before the model is loaded for the first time; afterwards "backend"
    "overloaded",
    "deadline",
    "backend",
    "oom",  # memory for an engine step could not be allocated
    "internal",
    "crashed",  # open when the process was killed; counted by the next start
)
ERROR_PHASES = ("admission", "queue", "prefill", "decode")


@dataclass(slots=True)
class RequestRecord:
    """One inference request. `started_at` is in unix seconds.

    A value is None if the request ended before it was known.
    """

    # What has a default is in every answer all the same: the schema must say so.
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "json_schema_serialization_defaults_required": True
    }

    request_id: str
    started_at: float
    key_name: str
    operation: str
    model: str
    stream: bool
    outcome: str = "error"
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    queue_seconds: float | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    ttft_seconds: float | None = None
    duration_seconds: float | None = None
    error_kind: str | None = None
    error_phase: str | None = None
