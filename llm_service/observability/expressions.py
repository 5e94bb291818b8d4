"""The expressions behind a chart's lines, defined once for both sources of numbers.

An expression is computed from the history (`values`) or by Prometheus (`promql`), and a test
compares the two. The result is NaN, or has no sample, where there were no observations.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llm_service.observability.grid import Grid
from llm_service.observability.rates import (
    Floats,
    Samples,
    histogram_quantile,
    latest,
    rate,
)
from llm_service.observability.snapshot import COLUMNS, HISTOGRAMS, LABEL_OF, bucket_columns

JOB = "llm_service"


class Query:
    """The history at the points of a grid: what gauges were, how fast counters grew."""

    def __init__(self, samples: Samples, grid: Grid) -> None:
        # What no window reaches is left out: most polls ask for minutes of the hour.
        samples = samples.since(grid.times[0] - grid.window)
        self._values = latest(samples, grid.times, grid.window)
        self._rates = rate(samples, grid.times, grid.window)
        self.window = grid.window

    def value(self, name: str, label: str) -> Floats:
        return self._values[:, COLUMNS[name, label]]

    def rate(self, name: str, label: str) -> Floats:
        return self._rates[:, COLUMNS[name, label]]

    def bucket_rates(self, histogram: str) -> Floats:
        return self._rates[:, [COLUMNS[column] for column in bucket_columns(histogram)]]


class Expression(Protocol):
    def values(self, query: Query) -> Floats: ...

    def promql(self, window: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Value:
    """The last value of a gauge in the window. Prometheus by itself would look back 5 minutes."""

    name: str
    label: str = ""

    def values(self, query: Query) -> Floats:
        return query.value(self.name, self.label)

    def promql(self, window: str) -> str:
        return f"sum(last_over_time({_selector(self.name, self.label)}[{window}]))"


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a counter grows, per second."""

    name: str
    label: str = ""

    def values(self, query: Query) -> Floats:
        return query.rate(self.name, self.label)

    def promql(self, window: str) -> str:
        return f"sum(rate({_selector(self.name, self.label)}[{window}]))"


@dataclass(frozen=True, slots=True)
class Ratio:
    """`over` divided by `under`; no value where `under` is 0."""

    over: Expression
    under: Expression

    def values(self, query: Query) -> Floats:
        under = self.under.values(query)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(under > 0, self.over.values(query) / under, np.nan)

    def promql(self, window: str) -> str:
        return f"{self.over.promql(window)} / ({self.under.promql(window)} > 0)"


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of `terms`."""

    terms: tuple[Expression, ...]

    def values(self, query: Query) -> Floats:
        total: Floats = np.sum([term.values(query) for term in self.terms], axis=0)
        return total

    def promql(self, window: str) -> str:
        return f"({' + '.join(term.promql(window) for term in self.terms)})"


@dataclass(frozen=True, slots=True)
class Rest:
    """`whole` minus `parts`, but at least 0."""

    whole: Expression
    parts: Total

    def values(self, query: Query) -> Floats:
        return np.maximum(self.whole.values(query) - self.parts.values(query), 0)

    def promql(self, window: str) -> str:
        return f"clamp_min({self.whole.promql(window)} - {self.parts.promql(window)}, 0)"


@dataclass(frozen=True, slots=True)
class Quantile:
    histogram: str
    quantile: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the largest bound. A value below or above is only known to be there."""
        return HISTOGRAMS[self.histogram][0], HISTOGRAMS[self.histogram][-1]

    def values(self, query: Query) -> Floats:
        buckets = query.bucket_rates(self.histogram)
        return histogram_quantile(self.quantile, HISTOGRAMS[self.histogram], buckets)

    def promql(self, window: str) -> str:
        buckets = f"sum by (le) (rate({_selector(f'{self.histogram}_bucket')}[{window}]))"
        # `>= 0` drops NaN, which is how PromQL says that nothing was observed.
        return f"histogram_quantile({self.quantile:g}, {buckets}) >= 0"


@dataclass(frozen=True, slots=True)
class Observed:
    """The number of observations in each window up to the bound of `bucket`; -1 counts all."""

    histogram: str
    bucket: int = -1

    def values(self, query: Query) -> Floats:
        # Extrapolated to the borders of the window, like Prometheus' increase().
        return query.bucket_rates(self.histogram)[:, self.bucket] * query.window

    def promql(self, window: str) -> str:
        _, bound = bucket_columns(self.histogram)[self.bucket]
        return f"sum(increase({_selector(f'{self.histogram}_bucket', bound)}[{window}]))"


def _selector(name: str, label: str = "") -> str:
    """A selector for the series of this service, with the label that identifies the column."""
    and_label = f',{LABEL_OF[name]}="{label}"' if label else ""
    return f'{name}{{job="{JOB}"{and_label}}}'
