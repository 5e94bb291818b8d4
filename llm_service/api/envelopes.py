"""The body of an error, in the shape that the clients of its path know.

Anthropic's clients call MESSAGES_PATH and what lies below it, Ollama's call OLLAMA_PATHS; all other
paths are OpenAI's.
"""

from typing import Any

from starlette.types import Scope

from llm_service.errors import ContextLengthExceeded, DeadlineExceeded, ServiceError

MESSAGES_PATH = "/v1/messages"
OLLAMA_PATHS = frozenset(
    f"/api/{name}"
    for name in ("chat", "generate", "tags", "version", "show", "ps", "embed", "embeddings")
)

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def envelope(error: ServiceError, scope: Scope | None) -> dict[str, Any]:
    """Return the body; `scope` is that of the request, or None if its path is not known yet."""
    path = "" if scope is None else scope["path"]
    if path in OLLAMA_PATHS:
        return ollama_envelope(error)
    if scope is None or not (path == MESSAGES_PATH or path.startswith(f"{MESSAGES_PATH}/")):
        return error.envelope()
    return messages_envelope(error, scope.get("state", {}).get("request_id"))


def ollama_envelope(error: ServiceError) -> dict[str, Any]:
    return {"error": error.message}


def messages_envelope(error: ServiceError, request_id: str | None) -> dict[str, Any]:
    """Return Anthropic's body, in which the message alone can name the field that is wrong."""
    return {
        "type": "error",
        "error": {"type": _anthropic_type(error), "message": _anthropic_message(error)},
        "request_id": request_id,
    }


def _anthropic_message(error: ServiceError) -> str:
    if isinstance(error, ContextLengthExceeded) and error.prompt_and_context is not None:
        # Claude Code reads both numbers from these words, and then shortens the conversation.
        return "prompt is too long: {} tokens > {} maximum".format(*error.prompt_and_context)
    if error.param is not None and error.param not in error.message:
        return f"{error.param}: {error.message}"
    return error.message


def _anthropic_type(error: ServiceError) -> str:
    if isinstance(error, DeadlineExceeded):
        return "timeout_error"
    other = "invalid_request_error" if error.status < 500 else "api_error"
    return _ANTHROPIC_TYPES.get(error.status, other)
