"""Every metric of the service: its name, labels, buckets and meaning, in one place.

`Metrics` is told what happened (by the limits, the API and the HTTP middleware) and keeps count;
`of_model` gives each engine an observer of its own. docs/metrics.md lists the same metrics, and a
test compares the two. Changes are additive: others' dashboards and alerts use these names.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, disable_created_metrics

from llm_service import __version__
from llm_service.engine import ModelInfo
from llm_service.observability.buckets import (
    FIRST_TOKEN,
    HTTP,
    INTER_TOKEN,
    LAG,
    LONG,
    QUEUE,
    REDIS,
    TOKENS,
)
from llm_service.observability.engine_metrics import EngineFamilies, ModelMetrics
from llm_service.observability.families import ANONYMOUS, OTHER, Declare, KeyNames
from llm_service.observability.gpu import GpuCollector, ReadGpu
from llm_service.observability.process import MachineCollector
from llm_service.observability.recent import Recent
from llm_service.observability.record import (
    ERROR_KINDS,
    ERROR_PHASES,
    OPERATIONS,
    OUTCOMES,
    RequestRecord,
)
from llm_service.observability.run_file import OpenRequests

LIMITS = ("requests", "concurrency", "ip", "refused")
REDIS_OPS = ("admit", "count", "ip", "join", "merge", "ping", "publish", "remove")
LAG_EVERY_SECONDS = 0.25


class Metrics:
    """The service's counts, in a registry of its own; also a LimitObserver.

    Series by key begin at 0 for each of `key_names`, series by model at `of_model`, which makes
    the engine's observer. Any thread may call any method. `read_gpu` is asked once a model is on
    a GPU.
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
        self._models: set[str] = set()
        self._read_gpu = read_gpu
        self._key_names = KeyNames()
        self._declare = declare = Declare(self.registry)
        self._declare_requests(declare)
        self._declare_latencies(declare)
        self._declare_phases(declare)
        self._engine = EngineFamilies(declare)
        # The histograms whose latest observations are kept, too.
        self.recent = {
            "llm_time_to_first_token_seconds": self._engine.recent_first_tokens,
            "llm_request_duration_seconds": Recent(),
        }
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
            "Inference requests by outcome, counted when they end.",
            model=(OTHER,),
            operation=OPERATIONS,
            outcome=OUTCOMES,
        )
        self._errors = declare.counter(
            "llm_request_errors_total",
            "Inference requests that failed or were refused, by reason and by phase.",
            kind=ERROR_KINDS,
            phase=ERROR_PHASES,
        )
        self._request_prompt_tokens = declare.histogram(
            "llm_request_prompt_tokens", "Prompt length of a request in tokens.", TOKENS, model=()
        )
        self._request_output_tokens = declare.histogram(
            "llm_request_output_tokens", "Answer length of a request in tokens.", TOKENS, model=()
        )

    def _declare_latencies(self, declare: Declare) -> None:
        self._duration = declare.histogram(
            "llm_request_duration_seconds",
            "Time from arrival to last byte. Refused requests are not counted.",
            LONG,
            model=(),
            stream=("true", "false"),
        )
        self._time_per_token = declare.histogram(
            "llm_time_per_output_token_seconds",
            "Mean time between the tokens of one request.",
            INTER_TOKEN,
            model=(),
        )

    def _declare_phases(self, declare: Declare) -> None:
        self._queue = declare.histogram(
            "llm_request_queue_seconds",
            "Time from submission to the first step that schedules the request.",
            QUEUE,
            model=(),
        )
        self._prefill = declare.histogram(
            "llm_request_prefill_seconds",
            "Time from the first step to the first token.",
            FIRST_TOKEN,
            model=(),
        )
        self._decode = declare.histogram(
            "llm_request_decode_seconds",
            "Time from the first token to the last token, or until the request was cut off.",
            LONG,
            model=(),
        )

    def _declare_keys_and_limits(self, declare: Declare) -> None:
        self._key_requests = declare.counter(
            "llm_key_requests_total", "Inference requests of each key.", key_name=(), outcome=()
        )
        self._key_tokens = declare.counter(
            "llm_key_tokens_total",
            "Tokens of each key. Cached tokens are part of its prompt tokens.",
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
            "Duration of one round trip to Redis, including failed ones.",
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
            "1: limits are shared through Redis. 0: Redis is away, so limits are per process.",
            registry=None,
        )
        self._has_redis = False
        self._has_gpu = False

    def _declare_http(self, declare: Declare) -> None:
        self._http_requests = declare.counter(
            "http_requests_total",
            "HTTP requests by route template. Code 499: the client left, or an operator cancelled.",
            route=(),
            method=(),
            code=(),
        )
        self._http_seconds = declare.histogram(
            "http_request_duration_seconds",
            "Time from HTTP request to last byte. Streamed answers are not counted.",
            HTTP,
            route=(),
            method=(),
        )

    def _declare_service(self, declare: Declare) -> None:
        self._lag = declare.histogram(
            "llm_event_loop_lag_seconds", "How late the event loop ran a timer.", LAG
        ).of()
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
        model = _known(record.model, self._models, OTHER)
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
            self.recent["llm_request_duration_seconds"].observe(record.duration_seconds)
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

    def crash_found(self, cut: OpenRequests) -> None:
        """Count requests that were open when an earlier process of this service was killed."""
        operation = _known(cut.operation, OPERATIONS, OPERATIONS[0])
        phase = _known(cut.phase, ERROR_PHASES, ERROR_PHASES[0])
        model = _known(cut.model, self._models, OTHER)
        self._requests.of(model, operation, "error").inc(cut.count)
        self._errors.of("crashed", phase).inc(cut.count)

    # Models

    def of_model(self, info: ModelInfo) -> ModelMetrics:
        """Let the series of a loaded model begin; what its engine reports to."""
        self._models.add(info.model_id)
        self._declare.begin_model(info.model_id)
        read_gpu = (
            self._read_gpu if info.local is not None and info.local.device == "cuda" else None
        )
        if read_gpu is not None and not self._has_gpu:
            self._has_gpu = True
            self.registry.register(GpuCollector(read_gpu))
        return ModelMetrics(self._engine, info, read_gpu)

    def model_removed(self, model: str) -> None:
        """The model is served no more: end its gauges. Its counters stay, as counters must."""
        self._engine.end(model)

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


def _known(value: str | None, values: Collection[str], otherwise: str) -> str:
    """Keeps a label within its list, so that a mistake cannot add series."""
    return value if value is not None and value in values else otherwise
