"""The dashboard's panels: title, unit and lines, whatever source they are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_service.observability.expressions import (
    Expression,
    Observed,
    Quantile,
    Rate,
    Ratio,
    Rest,
    Total,
    Value,
)
from llm_service.observability.snapshot import HISTOGRAMS, LABELLED, bucket_columns

# The line that is not drawn: how many observations a quantile was made of.
SAMPLES = "samples"


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    expression: Expression
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Panel:
    """`histogram` is what the panel's number of samples per point is counted from.

    A heatmap's lines are asked for as counts up to each bound, which costs half as much, and
    drawn as what fell in between.
    """

    title: str
    unit: str
    lines: list[Line]
    histogram: str | None = None
    is_heatmap: bool = False

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the largest bound of the histogram behind a panel of quantiles."""
        first = self.expressions[0]
        return first.bounds if isinstance(first, Quantile) else None

    @property
    def expressions(self) -> list[Expression]:
        return [line.expression for line in self.lines]

    @property
    def queried(self) -> list[Line]:
        """What is drawn, and the number of samples where the panel has it."""
        if self.histogram is None:
            return self.lines
        return [*self.lines, Line(SAMPLES, Observed(self.histogram))]

    def promql(self, window: str) -> str:
        """All lines in one query; each series is told apart by its label `line`."""
        return " or ".join(
            f'label_replace({line.expression.promql(window)}, "line", "{line.name}", "", "")'
            for line in self.queried
        )


def _by_label(title: str, name: str, unit: str = "1/s") -> Panel:
    label, values = LABELLED[name]
    return Panel(title, unit, [Line(value, Rate(name, value), {label: value}) for value in values])


def _quantiles(title: str, histogram: str, quantiles: Sequence[float] = (0.5, 0.95, 0.99)) -> Panel:
    lines = [
        Line(f"p{quantile * 100:g}", Quantile(histogram, quantile), {"quantile": f"{quantile:g}"})
        for quantile in quantiles
    ]
    return Panel(title, "s", lines, histogram)


def _heatmap(title: str, unit: str, histogram: str) -> Panel:
    """A line per bucket, named by its upper bound: what fell in between it and the one before."""
    bounds = [label for _, label in bucket_columns(histogram)]
    lines = [
        Line(bound, Observed(histogram, index), {"le": bound}) for index, bound in enumerate(bounds)
    ]
    return Panel(title, unit, lines, is_heatmap=True)


def _mean(histogram: str) -> Ratio:
    count: Expression = Rate(f"{histogram}_count")
    if histogram in HISTOGRAMS:
        count = Rate(f"{histogram}_bucket", "+Inf")
    return Ratio(Rate(f"{histogram}_sum"), count)


COMPUTED = Rate("llm_prompt_tokens_total", "computed")
CACHED = Rate("llm_prompt_tokens_total", "cached")
OUTPUT = Rate("llm_output_tokens_total")
BUSY = {
    phase: Rate("llm_engine_busy_seconds_total", phase)
    for phase in LABELLED["llm_engine_busy_seconds_total"][1]
}
WEIGHTS = Value("llm_memory_bytes", "weights")
KV_CACHE = Value("llm_memory_bytes", "kv_cache")
COMPUTE = Value("llm_memory_bytes", "compute")
ENGINE = Total((WEIGHTS, KV_CACHE, COMPUTE))
# Memory that the kernel cannot take back while the process lives.
HELD = Total(
    (Value("llm_process_memory_bytes", "anon"), Value("llm_process_memory_bytes", "shmem"))
)
RESIDENT = Total((HELD, Value("llm_process_memory_bytes", "file")))
OTHER = Rest(HELD, ENGINE)
KV_USED, KV_CAPACITY = Value("llm_kv_cache_used_bytes"), Value("llm_kv_cache_capacity_bytes")
FIRST_TOKENS = "llm_time_to_first_token_seconds"
GAPS = "llm_inter_token_latency_seconds"

PANELS: dict[str, Panel] = {
    "requests": _by_label("Requests", "llm_requests_total"),
    "ttft": _quantiles("Time to first token", FIRST_TOKENS),
    "duration": _quantiles("End-to-end time", "llm_request_duration_seconds"),
    "inter_token": _quantiles("Inter-token latency", GAPS),
    "tokens": Panel(
        "Tokens",
        "1/s",
        [
            Line("prompt computed", COMPUTED),
            Line("prompt cached", CACHED),
            Line("output", OUTPUT),
        ],
    ),
    "speed": Panel(
        "Speed while busy",
        "tokens/s",
        [
            Line("prefill", Ratio(COMPUTED, BUSY["prefill"])),
            Line("decode", Ratio(OUTPUT, BUSY["decode"])),
        ],
    ),
    "stream_speed": Panel(
        "Speed of one stream",
        "tokens/s",
        [Line("mean", Ratio(Rate(f"{GAPS}_bucket", "+Inf"), Rate(f"{GAPS}_sum")))],
    ),
    "concurrency": Panel(
        "Sequences",
        "sequences",
        [
            Line("running", Value("llm_requests_running")),
            Line("waiting", Value("llm_requests_waiting")),
            Line("slots", Value("llm_slots")),
        ],
    ),
    "memory": Panel(
        "Memory",
        "bytes",
        [
            Line("weights", WEIGHTS),
            Line("kv_cache", KV_CACHE),
            Line("compute", COMPUTE),
            Line("other", OTHER),
            # Weights may be mapped from a file: then they are no part of this.
            Line("file", Rest(RESIDENT, Total((ENGINE, OTHER)))),
            Line("total", RESIDENT),
            Line("limit", Value("llm_memory_limit_bytes")),
        ],
    ),
    "kv_ratio": Panel("KV cache used", "ratio", [Line("used", Ratio(KV_USED, KV_CAPACITY))]),
    "prefix_hits": Panel(
        "Prompt tokens from the prefix cache",
        "ratio",
        [Line("cached", Ratio(CACHED, Total((CACHED, COMPUTED))))],
    ),
    "phases": Panel(
        "Mean time per phase",
        "s",
        [
            Line(phase, _mean(f"llm_request_{phase}_seconds"))
            for phase in ("queue", "prefill", "decode")
        ],
    ),
    "errors": _by_label("Errors", "llm_request_errors_total"),
    "rejections": _by_label("Limit rejections", "llm_rate_limit_rejections_total"),
    "cpu": Panel(
        "CPU",
        "cores",
        [
            Line("used", Rate("process_cpu_seconds_total")),
            Line("limit", Value("llm_cpu_limit_cores")),
            Line("throttled", Rate("llm_cpu_throttled_seconds_total")),
        ],
    ),
    "event_loop_lag": _quantiles("Event-loop lag", "llm_event_loop_lag_seconds", (0.5, 0.99)),
    "duty": Panel("Engine busy", "ratio", [Line(phase, busy) for phase, busy in BUSY.items()]),
    "batch_size": Panel("Sequences per step", "sequences", [Line("mean", _mean("llm_batch_size"))]),
    "itl_heatmap": _heatmap("Inter-token latency, by bucket", "gaps", GAPS),
    "ttft_heatmap": _heatmap("Time to first token, by bucket", "first tokens", FIRST_TOKENS),
    "preemptions": Panel(
        "Preemptions", "1/s", [Line("preemptions", Rate("llm_preemptions_total"))]
    ),
    "drafts": _by_label("Draft tokens", "llm_draft_tokens_total"),
    "gpu_memory": Panel("GPU memory", "bytes", [Line("used", Value("llm_gpu_memory_used_bytes"))]),
    # A sum over GPUs, as CPU is over cores.
    "gpu_busy": Panel("GPU busy", "gpus", [Line("busy", Value("llm_gpu_utilization_ratio"))]),
    "redis": Panel("Redis", "up", [Line("up", Value("llm_redis_up"))]),
}
