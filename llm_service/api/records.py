"""The record of an inference request: created on arrival, completed and reported at its end."""

import time

from fastapi import Request

from llm_service.access.api_key import ApiKey
from llm_service.access.usage import UsageLog
from llm_service.errors import RequestCancelled, ServiceError
from llm_service.observability.history import History
from llm_service.observability.metrics import Metrics
from llm_service.observability.record import RequestRecord

OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/chat": "chat",
    "/api/chat": "chat",
    "/v1/completions": "completion",
    "/generate": "completion",
    "/api/generate": "completion",
    "/v1/responses": "response",
    "/v1/messages": "message",
    "/v1/embeddings": "embedding",
    "/api/embed": "embedding",
    "/api/embeddings": "embedding",
}


def new_record(request: Request, key: ApiKey, model: str, is_stream: bool) -> RequestRecord:
    state = request.scope["state"]
    record = RequestRecord(
        request_id=state["request_id"],
        started_at=state["started_at"],
        key_name=key.name,
        operation=OPERATIONS[request.url.path],
        model=model,
        stream=is_stream,
    )
    state["record"] = record
    return record


class Recorder:
    """Reports requests that have ended to the metrics, the history and the keys' usage."""

    def __init__(self, metrics: Metrics, history: History, usage: UsageLog) -> None:
        self._metrics = metrics
        self._history = history
        self._usage = usage

    def finished(self, record: RequestRecord, key: ApiKey) -> None:
        """Count a request that was admitted, at its one end."""
        self._tell(record)
        self._usage.add(key.id, record.prompt_tokens, record.output_tokens)

    def ended_early(self, request: Request, error: Exception, model: str) -> None:
        """Count an inference request that `error` ended before it was submitted to an engine.

        Other requests are not counted.
        """
        state = request.scope["state"]
        if request.url.path not in OPERATIONS or "record" in state or "key" not in state:
            return
        record = new_record(request, state["key"], model, is_stream=False)
        record.outcome = _outcome(error)
        record.error_kind = error.kind if isinstance(error, ServiceError) else "internal"
        record.error_phase = "admission"
        record.duration_seconds = time.time() - record.started_at
        self._tell(record)

    def _tell(self, record: RequestRecord) -> None:
        self._metrics.request_finished(record)
        self._history.request_finished(record)


def _outcome(error: Exception) -> str:
    if isinstance(error, RequestCancelled):
        return "cancelled"
    return "rejected" if isinstance(error, ServiceError) else "error"
