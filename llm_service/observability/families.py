"""Thin layers over prometheus_client: cached children, batched observations, bounded labels.

It does not know our metrics by name.
"""

import re
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OTHER = "other"
ANONYMOUS = "anonymous"
MAX_KEY_NAMES = 50
_KEY_NAME = re.compile(r"[a-z0-9_-]{1,32}")


class BatchHistogram(Histogram):
    """A histogram that takes many observations at once."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Observe each of `amounts`, much cheaper than one by one: it runs in every engine step."""
        self._sum.inc(sum(amounts))
        for bucket, number in Tally([bisect_left(self._upper_bounds, a) for a in amounts]).items():
            self._buckets[bucket].inc(number)


M = TypeVar("M", Counter, Gauge, BatchHistogram)
Labels = Mapping[str, Iterable[str]]


class Family(Generic[M]):
    """A labelled metric that keeps its children, because `labels()` costs more than `inc()`."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *values: str) -> M:
        child = self._children.get(values)
        if child is None:
            child = self._metric.labels(*values) if values else self._metric
            self._children[values] = child
        return child

    def remove(self, first: str) -> None:
        """End the series whose first label has this value, if there are any."""
        for values in [values for values in self._children if values and values[0] == first]:
            del self._children[values]
            self._metric.remove(*values)

    def begin(self, *values: Iterable[str]) -> None:
        """Let the series of each combination of label values begin at 0."""
        for labels in product(*values):
            self.of(*labels)


class Declare:
    """Makes metrics in one registry. A label is given with the values that begin at 0.

    Beginning at 0 lets a rate include the first event. A label with unknown values has `()`.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._by_model: list[tuple[Family[Any], Labels]] = []

    def counter(self, name: str, meaning: str, **labels: Iterable[str]) -> Family[Counter]:
        return self._family(Counter(name, meaning, labels, registry=self._registry), labels)

    def gauge(self, name: str, meaning: str, **labels: Iterable[str]) -> Family[Gauge]:
        return self._family(Gauge(name, meaning, labels, registry=self._registry), labels)

    def histogram(
        self, name: str, meaning: str, buckets: Sequence[float], **labels: Iterable[str]
    ) -> Family[BatchHistogram]:
        metric = BatchHistogram(name, meaning, labels, registry=self._registry, buckets=buckets)
        return self._family(metric, labels)

    def begin_model(self, model: str) -> None:
        """Let every series by model begin at 0 for `model`."""
        for family, labels in self._by_model:
            family.begin(*{**labels, "model": (model,)}.values())

    def _family(self, metric: M, labels: Labels) -> Family[M]:
        family = Family(metric)
        family.begin(*labels.values())
        if "model" in labels:
            self._by_model.append((family, labels))
        return family


class KeyNames:
    """Bounds the `key_name` label: the operator's names, at most 50, the rest `other`."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def label(self, name: str) -> str:
        if name in self._names or name == ANONYMOUS:
            return name
        if len(self._names) == MAX_KEY_NAMES or not _KEY_NAME.fullmatch(name):
            return OTHER
        self._names.add(name)
        return name
