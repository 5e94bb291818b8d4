"""The points in time of a chart, the same for both sources of numbers."""

import math
from dataclasses import dataclass

import numpy as np

from llm_service.observability.rates import Floats

MAX_POINTS = 600
SAMPLES_PER_WINDOW = 5


@dataclass(frozen=True, slots=True)
class Grid:
    """Points in time, and the window that each point covers. In seconds.

    All points but the last lie `step` apart. The last one is the end of the range, which is less
    than a step later than the one before it, or one step.
    """

    times: Floats
    step: int
    resolution: int

    @classmethod
    def until(cls, end: float, range_seconds: int, resolution: int) -> "Grid":
        """At most MAX_POINTS: the multiples of the step, and `end`.

        Polls repeat the same multiples, so that a chart does not flicker. Without `end`, the newest
        point of a week would be a quarter of an hour old, and a young source would have none.
        `resolution` is the time between two samples of the source.
        """
        step = resolution * math.ceil(range_seconds / (MAX_POINTS - 2) / resolution)
        first, last = math.ceil((end - range_seconds) / step), math.ceil(end / step) - 1
        return cls(np.append(step * np.arange(first, last + 1.0), end), step, resolution)

    @property
    def even_times(self) -> Floats:
        """All points but the last."""
        return self.times[:-1]

    @property
    def end(self) -> float:
        return float(self.times[-1])

    @property
    def window(self) -> int:
        """At least five samples, and no sample between two points is left out."""
        return max(self.step, SAMPLES_PER_WINDOW * self.resolution)
