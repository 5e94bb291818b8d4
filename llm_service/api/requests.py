"""/api/requests: lists running and recent requests without their text, and cancels running ones."""

import json
import os
import socket
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from llm_service.api.dependencies import (
    AdminKey,
    CancellationsDep,
    HistoryDep,
    MetricsKey,
    RunningDep,
)
from llm_service.api.generation import Generation
from llm_service.api.responses import JSON, compressed
from llm_service.api.window import WindowDep
from llm_service.engine import Phase
from llm_service.errors import NotFound
from llm_service.observability.history import KEPT_REQUESTS
from llm_service.observability.record import RequestRecord

REPLICA = f"{socket.gethostname()}-{os.getpid()}"

router = APIRouter(prefix="/api/requests")


class RunningOut(BaseModel):
    """A request that was admitted and has not ended. `started_at` is in unix seconds.

    `num_computed_tokens` of `prompt_tokens` are computed; `max_tokens` is for all choices together.
    """

    request_id: str
    operation: str
    key_name: str
    model: str
    stream: bool
    started_at: float
    phase: Phase
    prompt_tokens: int
    num_computed_tokens: int
    output_tokens: int
    max_tokens: int
    queue_seconds: float | None
    ttft_seconds: float | None
    elapsed_seconds: float


class RefusalsOut(BaseModel):
    """Requests of one key that were refused for one reason (an error kind). Times: unix seconds."""

    key_name: str
    reason: str
    count: int
    first_at: float
    last_at: float
    last_request_id: str


class RequestsOut(BaseModel):
    """Requests of `replica` alone: `running`, oldest first, and ended `requests`, newest first.

    Refused requests are counted in `refused`, the latest first. All other requests that ended
    since `complete_since` (unix seconds) are known, older ones only in part.
    """

    replica: str
    running: list[RunningOut]
    requests: list[RequestRecord]
    refused: list[RefusalsOut]
    complete_since: float


class CancelledOut(BaseModel):
    request_id: str
    outcome: Literal["cancelled"]


# A plain function: it runs in a worker thread, off the event loop.
@router.get("", response_model=RequestsOut)
def list_requests(
    request: Request,
    key: MetricsKey,
    running: RunningDep,
    history: HistoryDep,
    window: WindowDep,
    limit: Annotated[int, Query(ge=1, le=KEPT_REQUESTS)] = 50,
) -> Response:
    """List the running and the latest ended inference requests.

    With `start` and `end`, only ended requests that ran at some time in between, and what was
    refused in these minutes.
    """
    answer = {
        "replica": REPLICA,
        "running": [_running_out(generation).model_dump() for generation in running],
        "requests": [asdict(record) for record in history.recent_requests(limit, window)],
        "refused": [asdict(refusals) for refusals in history.refusals(window)],
        "complete_since": history.requests_complete_since(),
    }
    return compressed(request, json.dumps(answer).encode(), JSON)


@router.get("/{request_id}", response_model=RunningOut | RequestRecord)
async def get_request(
    request_id: str, key: MetricsKey, running: RunningDep, history: HistoryDep
) -> RunningOut | RequestRecord:
    """Return one request by its id: as in `running` while it runs, then as in `requests`.

    Callers choose ids. If several requests share this one, the oldest that runs is returned, else
    the latest that ended. Only the replica that ran a request knows it.
    """
    for generation in running:
        if generation.record.request_id == request_id:
            return _running_out(generation)
    record = history.find_request(request_id)
    if record is None:
        raise NotFound(
            f"No request with the id '{request_id[:64]}' is running or among the last"
            f" {KEPT_REQUESTS:,} on this replica.",
            param="request_id",
        )
    return record


@router.delete("/{request_id}", response_model=CancelledOut, status_code=202)
async def cancel_request(
    request_id: str, admin: AdminKey, running: RunningDep, cancellations: CancellationsDep
) -> CancelledOut:
    """End a running request: its caller gets an error in words, its memory is free one step later.

    Callers choose ids; if several running requests have this one, all of them end, on every
    replica that shares our Redis.
    """
    num_here = running.cancel(request_id, admin.name)
    elsewhere = await cancellations.ask(request_id, admin.name)
    if not num_here + elsewhere.num_cancelled:
        doubt = "" if elsewhere.is_complete else " here, and not every other replica could be asked"
        raise NotFound(f"No request with the id '{request_id[:64]}' is running{doubt}.")
    return CancelledOut(request_id=request_id, outcome="cancelled")


def _running_out(generation: Generation) -> RunningOut:
    record, timings = generation.record, generation.timings
    return RunningOut(
        request_id=record.request_id,
        operation=record.operation,
        key_name=record.key_name,
        model=record.model,
        stream=record.stream,
        started_at=record.started_at,
        phase=generation.phase,
        prompt_tokens=record.prompt_tokens,
        num_computed_tokens=generation.num_computed_tokens,
        output_tokens=generation.num_output_tokens,
        max_tokens=generation.max_tokens,
        queue_seconds=timings.queue_seconds,
        ttft_seconds=timings.ttft_seconds,
        elapsed_seconds=generation.elapsed_seconds,
    )
