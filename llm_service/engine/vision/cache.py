"""Keeps what was computed for pictures, for the next turn of a conversation.

Owns the bound on its memory. It knows neither models nor pictures.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import RLock
from weakref import finalize

from llm_service.engine.vision.encoder import Features
from llm_service.engine.vision.reader import Reading

# The salt of the caller and the hash of the picture: callers with different salts share nothing.
Key = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """A picture after reading and encoding. `reading` has only the inputs that positions need.

    `parts` has the features of each of the reading's runs.
    """

    reading: Reading
    parts: tuple[Features, ...]

    @property
    def num_bytes(self) -> int:
        return sum(part.num_bytes for part in self.parts)


class FeatureCache:
    """Holds at most `max_bytes` of features; the picture used longest ago goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._seen: OrderedDict[Key, SeenPicture] = OrderedDict()
        self.num_bytes = 0

    def get(self, key: Key) -> SeenPicture | None:
        seen = self._seen.get(key)
        if seen is not None:
            self._seen.move_to_end(key)
        return seen

    def put(self, key: Key, seen: SeenPicture) -> None:
        """Keep `seen`, unless it is too large by itself."""
        num_bytes = seen.num_bytes
        if key in self._seen or num_bytes > self._max_bytes:
            return
        self._seen[key] = seen
        self.num_bytes += num_bytes
        while self.num_bytes > self._max_bytes:
            _, oldest = self._seen.popitem(last=False)
            self.num_bytes -= oldest.num_bytes


class LiveFeatures:
    """Counts the bytes of features that something still holds: a prompt, or the cache."""

    def __init__(self) -> None:
        self.num_bytes = 0
        self._lock = RLock()  # a tensor may end at any time, on any thread

    def watch(self, parts: Iterable[Features]) -> None:
        """Count `parts` until their embeddings, which attachments share, are gone."""
        for part in parts:
            self._add(part.num_bytes)
            finalize(part.embeddings, self._add, -part.num_bytes)

    def _add(self, num_bytes: int) -> None:
        with self._lock:
            self.num_bytes += num_bytes
