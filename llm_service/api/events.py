"""/api/events: what happened to the service, which the dashboard marks on its charts."""

from dataclasses import asdict

from fastapi import APIRouter
from pydantic import BaseModel

from llm_service.api.dependencies import EventsDep, MetricsKey
from llm_service.observability.events import EventKind

router = APIRouter()


class EventOut(BaseModel):
    """`at` is in unix seconds. `limit`: the limit of a key was changed over HTTP."""

    at: float
    kind: EventKind
    words: str


class EventsOut(BaseModel):
    """The latest events of this process, oldest first."""

    events: list[EventOut]


@router.get("/api/events", response_model=EventsOut)
async def list_events(key: MetricsKey, events: EventsDep) -> EventsOut:
    """List starts, loads, restarts of the engine, drains and changed limits, since the start."""
    return EventsOut(events=[EventOut(**asdict(event)) for event in events.all()])
