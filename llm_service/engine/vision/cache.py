"""Keeps what was computed for pictures, for the next turn of a conversation.

Owns the bound on its memory. It knows neither models nor pictures.
"""

from collections import OrderedDict
from dataclasses import dataclass

from llm_service.engine.vision.encoder import Features
from llm_service.engine.vision.reader import Reading

# The salt of the caller and the hash of the picture: callers with different salts share nothing.
Key = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """A picture after reading and encoding. `reading` has only the inputs that positions need."""

    reading: Reading
    features: Features


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
        num_bytes = seen.features.num_bytes
        if key in self._seen or num_bytes > self._max_bytes:
            return
        self._seen[key] = seen
        self.num_bytes += num_bytes
        while self.num_bytes > self._max_bytes:
            _, oldest = self._seen.popitem(last=False)
            self.num_bytes -= oldest.features.num_bytes
