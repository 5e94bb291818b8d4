"""The points in time of a chart, the same for both sources of numbers."""

import math
from dataclasses import dataclass

import numpy as np

from llm_service.observability.rates import Floats

MAX_POINTS = 600
SAMPLES_PER_WINDOW = 5


@dataclass(frozen=True, slots=True)
class Grid:
    """Evenly spaced points in time, and the window that each point covers. In seconds."""

    times: Floats
    step: int
    resolution: int

    @classmethod
    def until(cls, now: float, range_seconds: int, resolution: int) -> "Grid":
        """At most MAX_POINTS, on multiples of the step, so that polls repeat the same points.

        `resolution` is the time between two samples of the source.
        """
        step = resolution * math.ceil(range_seconds / (MAX_POINTS - 1) / resolution)
        end = math.floor(now / step) * step
        num_points = range_seconds // step + 1
        return cls(end - step * np.arange(num_points - 1, -1, -1.0), step, resolution)

    @property
    def window(self) -> int:
        """At least five samples, and no sample between two points is left out."""
        return max(self.step, SAMPLES_PER_WINDOW * self.resolution)
