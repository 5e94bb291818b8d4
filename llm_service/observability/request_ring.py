"""The latest ended requests, and the refused ones apart from them, folded.

Refused requests have their own places: a caller that is refused a thousand times a minute must not
push out the requests that ran. Refusals are counted by key, reason and minute, so that a window in
the past can be counted too. Numbers and names only.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

from llm_service.observability.record import RequestRecord

KEPT_REQUESTS = 1000
KEPT_REFUSED = 200
# A refusing hour of 30 pairs of key and reason.
KEPT_FOLDS = 2000
FOLD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Both ends belong to it, in unix seconds."""

    start: float
    end: float

    def overlaps(self, first: float, last: float) -> bool:
        return first <= self.end and last >= self.start


@dataclass(slots=True)
class Refusals:
    """The requests of one key that were refused for one reason (an error kind)."""

    key_name: str
    reason: str
    count: int
    first_at: float
    last_at: float
    last_request_id: str


class RequestRing:
    """The last KEPT_REQUESTS requests that were admitted, and what was refused. Thread-safe."""

    def __init__(self, since: float) -> None:
        """`since`: when this process began to keep requests."""
        self._since = since
        self._lock = threading.Lock()
        self._ended: deque[RequestRecord] = deque(maxlen=KEPT_REQUESTS)
        self._refused: deque[RequestRecord] = deque(maxlen=KEPT_REFUSED)
        self._folds: OrderedDict[tuple[str, str, int], Refusals] = OrderedDict()

    def add(self, record: RequestRecord) -> None:
        with self._lock:
            if record.outcome == "rejected":
                self._refused.append(record)
                self._fold(record)
            else:
                self._ended.append(record)

    def recent(self, limit: int, window: TimeWindow | None = None) -> list[RequestRecord]:
        """Ended requests, the newest first; with a window, those that ran at some time in it."""
        newest_first = self._copy()
        if window is not None:
            newest_first = [
                record
                for record in newest_first
                if window.overlaps(record.started_at, ended_at(record))
            ]
        return list(islice(newest_first, limit))

    def find(self, request_id: str) -> RequestRecord | None:
        """The latest request with this id that ended, or else that was refused."""
        with self._lock:
            kept = [*reversed(self._ended), *reversed(self._refused)]
        return next((record for record in kept if record.request_id == request_id), None)

    def complete_since(self) -> float:
        """All requests that ended later are kept."""
        with self._lock:
            if len(self._ended) < KEPT_REQUESTS:
                return self._since
            return ended_at(self._ended[0])

    def refusals(self, window: TimeWindow | None = None) -> list[Refusals]:
        """One entry for each key and reason, the latest first.

        A window counts whole minutes: those in which a refusal may lie inside it.
        """
        with self._lock:
            folds = [replace(fold) for fold in self._folds.values()]
        if window is not None:
            folds = [fold for fold in folds if window.overlaps(fold.first_at, fold.last_at)]
        return sorted(_merged(folds), key=lambda fold: fold.last_at, reverse=True)

    def _copy(self) -> list[RequestRecord]:
        """Newest first."""
        with self._lock:
            return [*reversed(self._ended)]

    def _fold(self, record: RequestRecord) -> None:
        at, reason = ended_at(record), record.error_kind or "internal"
        place = (record.key_name, reason, int(at // FOLD_SECONDS))
        fold = self._folds.get(place)
        if fold is None:
            self._folds[place] = Refusals(record.key_name, reason, 1, at, at, record.request_id)
            if len(self._folds) > KEPT_FOLDS:
                self._folds.popitem(last=False)
            return
        _add(fold, Refusals(record.key_name, reason, 1, at, at, record.request_id))


def ended_at(record: RequestRecord) -> float:
    return record.started_at + (record.duration_seconds or 0.0)


def _merged(folds: Iterable[Refusals]) -> list[Refusals]:
    merged: dict[tuple[str, str], Refusals] = {}
    for fold in folds:
        known = merged.setdefault((fold.key_name, fold.reason), fold)
        if known is not fold:
            _add(known, fold)
    return [*merged.values()]


def _add(fold: Refusals, other: Refusals) -> None:
    fold.count += other.count
    fold.first_at = min(fold.first_at, other.first_at)
    if other.last_at >= fold.last_at:
        fold.last_at, fold.last_request_id = other.last_at, other.last_request_id
