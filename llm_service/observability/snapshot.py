"""The columns that the dashboard's panels need, read from the registry into one row of floats.

A column is one sample name, by one label, summed over all other labels: as PromQL's
`sum by (label) (name)`. The layout is fixed, so that rows can be kept as plain arrays.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.utils import floatToGoString

from llm_service.observability import buckets, metrics
from llm_service.observability.record import ERROR_KINDS, OUTCOMES

Floats = NDArray[np.float64]
Column = tuple[str, str]  # sample name, label value ("" where there is no label)

HISTOGRAMS: dict[str, Sequence[float]] = {
    "llm_time_to_first_token_seconds": buckets.FIRST_TOKEN,
    "llm_request_duration_seconds": buckets.LONG,
    "llm_inter_token_latency_seconds": buckets.INTER_TOKEN,
    "llm_event_loop_lag_seconds": buckets.LAG,
}
MEANS = (
    "llm_request_queue_seconds",
    "llm_request_prefill_seconds",
    "llm_request_decode_seconds",
    "llm_batch_size",
)
PLAIN = (
    "llm_output_tokens_total",
    "llm_preemptions_total",
    "llm_requests_running",
    "llm_requests_waiting",
    "llm_slots",
    "llm_kv_cache_used_bytes",
    "llm_kv_cache_capacity_bytes",
    "llm_memory_limit_bytes",
    "llm_cpu_limit_cores",
    "llm_cpu_throttled_seconds_total",
    "llm_redis_up",
    "llm_gpu_memory_used_bytes",
    "llm_gpu_utilization_ratio",
    # A histogram's count is its last bucket.
    "llm_inter_token_latency_seconds_sum",
    "process_cpu_seconds_total",
)
LABELLED: dict[str, tuple[str, Sequence[str]]] = {
    "llm_requests_total": ("outcome", OUTCOMES),
    "llm_request_errors_total": ("kind", ERROR_KINDS),
    "llm_rate_limit_rejections_total": ("limit", metrics.LIMITS),
    "llm_prompt_tokens_total": ("source", ("computed", "cached")),
    "llm_engine_busy_seconds_total": ("phase", ("prefill", "decode")),
    "llm_draft_tokens_total": ("outcome", ("accepted", "rejected")),
    "llm_memory_bytes": ("kind", ("weights", "kv_cache", "compute")),
    "llm_process_memory_bytes": ("type", ("anon", "file", "shmem")),
}


def bucket_columns(histogram: str) -> list[Column]:
    """A histogram's cumulative buckets, the last one +Inf."""
    bounds = (*HISTOGRAMS[histogram], math.inf)
    return [(f"{histogram}_bucket", _le(bound)) for bound in bounds]


def _le(bound: float) -> str:
    """The bound as the library writes it."""
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def _columns() -> list[Column]:
    columns: list[Column] = [(name, "") for name in PLAIN]
    columns += [(f"{name}_{part}", "") for name in MEANS for part in ("sum", "count")]
    columns += [(name, value) for name, (_, values) in LABELLED.items() for value in values]
    for name in HISTOGRAMS:
        columns += bucket_columns(name)
    return columns


COLUMNS = {column: index for index, column in enumerate(_columns())}
# The label that a sample name is read by.
LABEL_OF = {
    **{name: "" for name, _ in COLUMNS},
    **{name: label for name, (label, _) in LABELLED.items()},
    **{f"{name}_bucket": "le" for name in HISTOGRAMS},
}


def read_row(registry: CollectorRegistry) -> Floats:
    """The columns now; NaN for those without a sample."""
    row = np.full(len(COLUMNS), math.nan)
    for family in registry.restricted_registry(LABEL_OF).collect():
        for sample in family.samples:
            label = LABEL_OF[sample.name]
            index = COLUMNS.get((sample.name, sample.labels[label] if label else ""))
            if index is not None:
                row[index] = sample.value + (0.0 if math.isnan(row[index]) else row[index])
    return row
