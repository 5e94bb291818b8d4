"""Begins the record of an inference request, and makes the whole one of a request refused early."""

import time

from fastapi import Request

from llm_service.access.api_key import ApiKey
from llm_service.api.dependencies import Services
from llm_service.errors import RequestCancelled, ServiceError
from llm_service.observability.record import RequestRecord

OPERATIONS = {"/v1/chat/completions": "chat", "/v1/completions": "completion"}


def record_rejection(services: Services, request: Request, error: ServiceError) -> None:
    """Count an inference request that ended before it had streams."""
    state = request.scope["state"]
    operation = OPERATIONS.get(request.url.path)
    if operation is None or "record" in state or "key" not in state:
        return
    engine = services.engine.engine
    model = engine.info.model_id if engine is not None else "other"
    record = new_record(request, state["key"], model, is_stream=False)
    record.outcome = "cancelled" if isinstance(error, RequestCancelled) else "rejected"
    record.error_kind, record.error_phase = error.kind, "admission"
    record.duration_seconds = time.time() - record.started_at
    services.metrics.request_finished(record)
    services.history.request_finished(record)


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
