"""Every metric of the service: its name, labels, buckets and meaning, in one place.

`Metrics` is told what happened (by the engine, the limits, the API and the HTTP
middleware) and keeps count. docs/metrics.md lists the same metrics, and a test
compares the two. Changes are additive: others' dashboards and alerts use these names.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics

from llm_service import __version__
from llm_service.engine import EngineInfo, Phase, StepStats
from llm_service.observability.families import ANONYMOUS, OTHER, Declare, KeyNames
from llm_service.observability.gpu import GpuCollector, ReadGpu, compute_bytes
from llm_service.observability.process import MachineCollector
from llm_service.observability.record import (
    ERROR_KINDS,
    ERROR_PHASES,
    OPERATIONS,
    OUTCOMES,
    RequestRecord,
)

LIMITS = ("requests", "tokens", "concurrency", "ip", "refused")
REDIS_OPS = ("admit", "count", "ip", "join", "merge", "ping", "publish", "remove")
LAG_EVERY_SECONDS = 0.25
PHASES: tuple[Phase, ...] = ("queue", "prefill", "decode")

# Upper bounds in seconds; +Inf is implied. The thresholds of the service's objectives are
# exact bounds: first token 2, end to end 30, between tokens .2. What a request can take reaches
# beyond the default LLM_REQUEST_TIMEOUT_SECONDS, 600.
LATE = (120, 300, 600, 900)
LONG = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, *LATE)
FIRST_TOKEN = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, *LATE)
INTER_TOKEN = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5)
QUEUE = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, *LATE)
LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
HTTP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, *LATE)
REDIS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
# Counts.
TOKENS = tuple(2**n for n in range(3, 18))  # 8 to 131,072, the longest context in common use
BATCH = (1, 2, 3, 4, 6, 8, 12, 16, 32)


class Metrics:
    """The service's counts, in a registry of its own; also an EngineObserver and LimitObserver.

    Series by key begin at 0 for each of `key_names`, series by model when it is loaded:
    call `model_loaded` before the engine starts. Any thread may call any method.
    `read_gpu` is asked once the model is on a GPU.
    """

    def __init__(
        self,
        *,
        key_names: Iterable[str] = (),
        registry: CollectorRegistry | None = None,
        read_gpu: ReadGpu | None = None,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library's own lack
        self.registry = registry or CollectorRegistry(auto_describe=True)
        self._model = OTHER
        self._read_gpu = read_gpu
        self._key_names = KeyNames()
        self._declare = declare = Declare(self.registry)
        self._declare_requests(declare)
        self._declare_latencies(declare)
        self._declare_phases(declare)
        self._declare_queues(declare)
        self._declare_engine(declare)
        self._declare_keys_and_limits(declare)
        self._declare_http(declare)
        self._declare_service(declare)
        for key_name in (ANONYMOUS, *key_names):
            self.key_added(key_name)
        ProcessCollector(registry=self.registry)
        self.registry.register(MachineCollector())

    def _declare_requests(self, declare: Declare) -> None:
        self._requests = declare.counter(
            "llm_requests_total",
            "Inference requests by how they ended, counted at their end.",
            model=(OTHER,),
            operation=OPERATIONS,
            outcome=OUTCOMES,
        )
        self._errors = declare.counter(
            "llm_request_errors_total",
            "Inference requests that failed or were refused: why, and how far they had come.",
            kind=ERROR_KINDS,
            phase=ERROR_PHASES,
        )
        self._request_prompt_tokens = declare.histogram(
            "llm_request_prompt_tokens", "Prompt length of a request.", TOKENS, model=()
        )
        self._request_output_tokens = declare.histogram(
            "llm_request_output_tokens", "Answer length of a request.", TOKENS, model=()
        )

    def _declare_latencies(self, declare: Declare) -> None:
        self._duration = declare.histogram(
            "llm_request_duration_seconds",
            "Arrival to last byte, of requests that were not refused.",
            LONG,
            model=(),
            stream=("true", "false"),
        )
        self._first_token = declare.histogram(
            "llm_time_to_first_token_seconds",
            "Submission to first token, the queue included.",
            FIRST_TOKEN,
            model=(),
        )
        self._inter_token = declare.histogram(
            "llm_inter_token_latency_seconds",
            "Gap between two tokens of a sequence.",
            INTER_TOKEN,
            model=(),
        )
        self._time_per_token = declare.histogram(
            "llm_time_per_output_token_seconds",
            "Mean gap between the tokens of one request.",
            INTER_TOKEN,
            model=(),
        )

    def _declare_phases(self, declare: Declare) -> None:
        self._queue = declare.histogram(
            "llm_request_queue_seconds", "Submission to first scheduled.", QUEUE, model=()
        )
        self._prefill = declare.histogram(
            "llm_request_prefill_seconds",
            "First scheduled to first token.",
            FIRST_TOKEN,
            model=(),
        )
        self._decode = declare.histogram(
            "llm_request_decode_seconds", "First token to last token.", LONG, model=()
        )
        self._cancellations = declare.counter(
            "llm_cancellations_total",
            "Sequences aborted, by the phase they were in.",
            model=(),
            phase=PHASES,
        )
        self._time_to_free = declare.histogram(
            "llm_time_to_free_seconds",
            "From an abort to the sequence's slot and blocks being free.",
            LAG,
            model=(),
        )

    def _declare_queues(self, declare: Declare) -> None:
        self._running = declare.gauge(
            "llm_requests_running", "Sequences that hold a slot.", model=()
        )
        self._waiting = declare.gauge(
            "llm_requests_waiting", "Sequences that wait for a slot.", model=()
        )
        self._slots = declare.gauge(
            "llm_slots", "Sequences that can run at once; 0 until the model is loaded.", model=()
        )
        self._queue_capacity = declare.gauge(
            "llm_queue_capacity", "Sequences that may wait; more are refused.", model=()
        )
        self._batch_size = declare.histogram(
            "llm_batch_size", "Sequences computed in one engine step.", BATCH, model=()
        )
        self._draft_tokens = declare.counter(
            "llm_draft_tokens_total",
            "Guessed tokens that were checked, by whether they were right.",
            model=(),
            outcome=("accepted", "rejected"),
        )
        self._preemptions = declare.counter(
            "llm_preemptions_total", "Sequences that lost their KV blocks to others.", model=()
        )

    def _declare_engine(self, declare: Declare) -> None:
        self._prompt_tokens = declare.counter(
            "llm_prompt_tokens_total",
            "Prompt tokens, computed or found in the prefix cache.",
            model=(),
            source=("computed", "cached"),
        )
        self._output_tokens = declare.counter(
            "llm_output_tokens_total", "Tokens generated.", model=()
        )
        self._busy = declare.counter(
            "llm_engine_busy_seconds_total",
            "Wall time inside engine steps; tokens over it are the true speed.",
            model=(),
            phase=("prefill", "decode"),
        )
        self._engine_failures = declare.counter(
            "llm_engine_failures_total",
            "Failures of the whole engine; each fails what is in flight.",
            model=(),
        )
        self._kv_used = declare.gauge(
            "llm_kv_cache_used_bytes", "KV cache that sequences hold.", model=()
        )
        self._kv_capacity = declare.gauge(
            "llm_kv_cache_capacity_bytes", "KV cache in all.", model=()
        )
        self._memory = declare.gauge(
            "llm_memory_bytes",
            "Memory that the engine accounts for.",
            kind=("weights", "kv_cache", "compute"),
        )

    def _declare_keys_and_limits(self, declare: Declare) -> None:
        self._key_requests = declare.counter(
            "llm_key_requests_total", "Inference requests of each key.", key_name=(), outcome=()
        )
        self._key_tokens = declare.counter(
            "llm_key_tokens_total",
            "Tokens of each key; cached ones are part of its prompt tokens.",
            key_name=(),
            type=(),
        )
        self._rejections = declare.counter(
            "llm_rate_limit_rejections_total",
            "Requests refused because a limit was spent.",
            key_name=(),
            limit=(),
        )
        self._redis_seconds = declare.histogram(
            "llm_redis_operation_duration_seconds",
            "One round trip to Redis, failed ones included.",
            REDIS,
            op=(),
        )
        self._key_database_up = declare.gauge(
            "llm_key_database_up",
            "1: stored keys can be looked up. 0: the key database cannot be read.",
        ).of()
        # Registered when first heard of: a service without Redis has none that is down.
        self._redis_up = Gauge(
            "llm_redis_up",
            "1: limits are shared through Redis. 0: it is away and they are in-process.",
            registry=None,
        )
        self._has_redis = False

    def _declare_http(self, declare: Declare) -> None:
        self._http_requests = declare.counter(
            "http_requests_total",
            "HTTP requests by route template; code 499: the client left, or an operator cancelled.",
            route=(),
            method=(),
            code=(),
        )
        self._http_seconds = declare.histogram(
            "http_request_duration_seconds",
            "HTTP request to last byte, streamed answers excepted.",
            HTTP,
            route=(),
            method=(),
        )

    def _declare_service(self, declare: Declare) -> None:
        self._ready = declare.gauge("llm_ready", "1 when the engine takes requests.").of()
        self._load_seconds = declare.gauge(
            "llm_model_load_seconds", "Time that loading the model took; 0 until it is loaded."
        ).of()
        self._lag = declare.histogram(
            "llm_event_loop_lag_seconds", "How late the event loop ran a timer.", LAG
        ).of()
        self._model_info = declare.gauge(
            "llm_model_info",
            "What is served and how; no sample until it is loaded.",
            **dict.fromkeys(
                ("model", "architecture", "engine", "device", "dtype", "quantization", "kernels"),
                (),
            ),
        )
        declare.gauge("llm_build_info", "The service's version.", version=()).of(__version__).set(1)

    # The door

    def http_finished(self, route: str, method: str, code: int, seconds: float | None) -> None:
        """`route` is a template or `other`; `seconds` is None for a streamed answer."""
        self._http_requests.of(route, method, str(code)).inc()
        if seconds is not None:
            self._http_seconds.of(route, method).observe(seconds)

    def watch_key_database(self, is_up: Callable[[], bool]) -> None:
        """Ask `is_up` at each scrape."""
        self._key_database_up.set_function(lambda: float(is_up()))

    def key_added(self, key_name: str) -> None:
        """Let a key's series begin at 0."""
        key = (self._key_names.label(key_name),)
        self._key_requests.begin(key, OUTCOMES)
        self._key_tokens.begin(key, ("prompt", "cached", "output"))
        self._rejections.begin(key, LIMITS)

    def request_finished(self, record: RequestRecord) -> None:
        """Count an inference request at its one end."""
        model = record.model if record.model == self._model else OTHER
        outcome = _known(record.outcome, OUTCOMES, "error")
        self._requests.of(model, record.operation, outcome).inc()
        self._count_key(record, outcome)
        if outcome in ("error", "timeout", "rejected"):
            self._count_error(record)
        if outcome != "rejected":
            self._observe_request(record, model)

    def _count_key(self, record: RequestRecord, outcome: str) -> None:
        key = self._key_names.label(record.key_name)
        self._key_requests.of(key, outcome).inc()
        self._key_tokens.of(key, "prompt").inc(record.prompt_tokens)
        self._key_tokens.of(key, "cached").inc(record.cached_tokens)
        self._key_tokens.of(key, "output").inc(record.output_tokens)

    def _count_error(self, record: RequestRecord) -> None:
        kind = _known(record.error_kind, ERROR_KINDS, "internal")
        phase = _known(record.error_phase, ERROR_PHASES, "admission")
        self._errors.of(kind, phase).inc()

    def _observe_request(self, record: RequestRecord, model: str) -> None:
        self._request_prompt_tokens.of(model).observe(record.prompt_tokens)
        self._request_output_tokens.of(model).observe(record.output_tokens)
        if record.duration_seconds is not None:
            self._duration.of(model, "true" if record.stream else "false").observe(
                record.duration_seconds, {"trace_id": record.request_id}
            )
        if record.decode_seconds is not None and record.output_tokens > 1:
            self._time_per_token.of(model).observe(
                record.decode_seconds / (record.output_tokens - 1)
            )
        for phase, seconds in (
            (self._queue, record.queue_seconds),
            (self._prefill, record.prefill_seconds),
            (self._decode, record.decode_seconds),
        ):
            if seconds is not None:
                phase.of(model).observe(seconds)

    # EngineObserver, on the engine's thread

    def step_finished(self, stats: StepStats) -> None:
        model = self._model
        self.queue_changed(stats.num_running, stats.num_waiting, stats.kv_cache_used_bytes)
        self._batch_size.of(model).observe(stats.num_sequences)
        self._prompt_tokens.of(model, "computed").inc(stats.num_computed_prompt_tokens)
        self._prompt_tokens.of(model, "cached").inc(stats.num_cached_prompt_tokens)
        self._output_tokens.of(model).inc(stats.num_output_tokens)
        self._preemptions.of(model).inc(stats.num_preemptions)
        num_accepted = stats.num_accepted_draft_tokens
        self._draft_tokens.of(model, "accepted").inc(num_accepted)
        self._draft_tokens.of(model, "rejected").inc(stats.num_draft_tokens - num_accepted)
        self._busy.of(model, "prefill").inc(stats.prefill_seconds)
        self._busy.of(model, "decode").inc(stats.decode_seconds)
        self._inter_token.of(model).observe_all(stats.inter_token_seconds)
        for sequence_id, seconds in stats.first_tokens:
            # A sequence's id is its request's and the number of the choice.
            request_id = sequence_id.rpartition("-")[0] or sequence_id
            self._first_token.of(model).observe(seconds, {"trace_id": request_id})

    def queue_changed(self, num_running: int, num_waiting: int, kv_cache_used_bytes: int) -> None:
        self._running.of(self._model).set(num_running)
        self._waiting.of(self._model).set(num_waiting)
        self._kv_used.of(self._model).set(kv_cache_used_bytes)

    def sequence_cancelled(self, phase: Phase, seconds_to_free: float) -> None:
        self._cancellations.of(self._model, phase).inc()
        self._time_to_free.of(self._model).observe(seconds_to_free)

    def ready_changed(self, is_ready: bool, reason: str) -> None:
        self._ready.set(is_ready)

    def engine_failed(self, error: BaseException) -> None:
        self._engine_failures.of(self._model).inc()

    def model_loaded(self, info: EngineInfo) -> None:
        """Requests are recorded under `info.model_id` from now on."""
        self._model = info.model_id
        self._declare.begin_model(info.model_id)
        self._load_seconds.set(info.load_seconds)
        self._slots.of(self._model).set(info.max_batch_size)
        self._queue_capacity.of(self._model).set(info.max_waiting)
        self._kv_capacity.of(self._model).set(info.kv_cache_bytes)
        self._memory.of("weights").set(info.weights_bytes)
        self._memory.of("kv_cache").set(info.kv_cache_bytes)
        self._memory.of("compute").set(info.compute_bytes)
        if info.device == "cuda" and self._read_gpu is not None:
            self._gpu_found(self._read_gpu, info.weights_bytes + info.kv_cache_bytes)
        self._model_info.of(
            self._model,
            info.architecture,
            info.engine,
            info.device,
            info.dtype,
            info.quantization,
            info.kernels,
        ).set(1)

    def _gpu_found(self, read: ReadGpu, held_bytes: int) -> None:
        self.registry.register(GpuCollector(read))
        self._memory.of("compute").set_function(partial(compute_bytes, read, held_bytes))

    # LimitObserver

    def redis_up(self, is_up: bool) -> None:
        if not self._has_redis:
            self._has_redis = True
            self.registry.register(self._redis_up)
            self._redis_seconds.begin(REDIS_OPS)
        self._redis_up.set(is_up)

    def redis_operation(self, op: str, seconds: float) -> None:
        self._redis_seconds.of(op).observe(seconds)

    def rejected(self, key_name: str, limit: str) -> None:
        self._rejections.of(self._key_names.label(key_name), limit).inc()

    # The event loop

    async def watch_event_loop(self) -> None:
        """Measure, until cancelled, how late the loop runs a timer."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY_SECONDS
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self._lag.observe(loop.time() - due)


def _known(value: str | None, values: Sequence[str], otherwise: str) -> str:
    """Keeps a label within its list, so that a mistake cannot add series."""
    return value if value is not None and value in values else otherwise
