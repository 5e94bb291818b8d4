"""What engines report, counted by model: see `EngineObserver`.

`EngineFamilies` declares the metrics once; a `ModelMetrics` per model keeps their children, so
that no metric knows which model is meant.
"""

from collections.abc import Sequence
from functools import partial

from llm_service.engine import LocalEngineInfo, ModelInfo, Phase, StepStats
from llm_service.observability.buckets import BATCH, FIRST_TOKEN, INTER_TOKEN, LAG
from llm_service.observability.families import Declare
from llm_service.observability.gpu import ReadGpu, compute_bytes
from llm_service.observability.recent import Recent

PHASES: tuple[Phase, ...] = ("queue", "prefill", "decode")
NO_MODEL = ""  # Prometheus takes an empty label for none


class EngineFamilies:
    """The metrics of engines, all with the label `model`."""

    def __init__(self, declare: Declare) -> None:
        self._declare_tokens(declare)
        self._declare_queues(declare)
        self._declare_memory(declare)
        self._declare_state(declare)
        self.ready.of(NO_MODEL).set(0)

    def end(self, model: str) -> None:
        """Remove the gauges of a model that is served no more."""
        for family in (
            self.running, self.waiting, self.slots, self.queue_capacity, self.kv_used,
            self.kv_capacity, self.memory, self.ready, self.load_seconds, self.info,
        ):  # fmt: skip
            family.remove(model)

    def _declare_tokens(self, declare: Declare) -> None:
        self.prompt_tokens = declare.counter(
            "llm_prompt_tokens_total",
            "Prompt tokens, computed or found in the prefix cache.",
            model=(),
            source=("computed", "cached"),
        )
        self.output_tokens = declare.counter(
            "llm_output_tokens_total", "Tokens generated.", model=()
        )
        self.busy = declare.counter(
            "llm_engine_busy_seconds_total",
            "Wall time inside engine steps. Tokens divided by it give the speed without idle time.",
            model=(),
            phase=("prefill", "decode"),
        )
        self.failures = declare.counter(
            "llm_engine_failures_total",
            "Failures of the whole engine. Each one fails all requests in flight.",
            model=(),
        )
        self.first_token = declare.histogram(
            "llm_time_to_first_token_seconds",
            "Time from a request's arrival to its first token, including the queue.",
            FIRST_TOKEN,
            model=(),
        )
        self.recent_first_tokens = Recent()
        self.inter_token = declare.histogram(
            "llm_inter_token_latency_seconds",
            "Gap between two tokens of a sequence.",
            INTER_TOKEN,
            model=(),
        )

    def _declare_queues(self, declare: Declare) -> None:
        self.running = declare.gauge(
            "llm_requests_running", "Sequences that hold a slot.", model=()
        )
        self.waiting = declare.gauge(
            "llm_requests_waiting", "Sequences that wait for a slot.", model=()
        )
        self.slots = declare.gauge(
            "llm_slots", "Sequences that can run at once; 0 until the model is loaded.", model=()
        )
        self.queue_capacity = declare.gauge(
            "llm_queue_capacity", "Sequences that may wait. More are refused.", model=()
        )
        self.batch_size = declare.histogram(
            "llm_batch_size", "Sequences computed in one engine step.", BATCH, model=()
        )
        self.forced_tokens = declare.counter(
            "llm_forced_tokens_total",
            "Output tokens that a grammar or a reasoning budget left no choice about;"
            " they were not sampled.",
            model=(),
        )
        self.draft_tokens = declare.counter(
            "llm_draft_tokens_total",
            "Draft tokens that were verified, by whether they were accepted.",
            model=(),
            outcome=("accepted", "rejected"),
        )
        self.preemptions = declare.counter(
            "llm_preemptions_total", "Sequences that lost their KV blocks to others.", model=()
        )

        self.cancellations = declare.counter(
            "llm_cancellations_total",
            "Sequences aborted, by the phase they were in.",
            model=(),
            phase=PHASES,
        )
        self.time_to_free = declare.histogram(
            "llm_time_to_free_seconds",
            "Time from an abort until the sequence's slot and blocks are free.",
            LAG,
            model=(),
        )

    def _declare_memory(self, declare: Declare) -> None:
        self.kv_used = declare.gauge(
            "llm_kv_cache_used_bytes", "Bytes of the KV cache that sequences hold.", model=()
        )
        self.kv_capacity = declare.gauge(
            "llm_kv_cache_capacity_bytes", "Size of the KV cache.", model=()
        )
        self.memory = declare.gauge(
            "llm_memory_bytes",
            "Memory that the engine accounts for.",
            model=(),
            kind=("weights", "kv_cache", "compute"),
        )

    def _declare_state(self, declare: Declare) -> None:
        self.ready = declare.gauge(
            "llm_ready",
            "1 when the engine accepts requests. Before a model is loaded: 0, without the label.",
            model=(),
        )
        self.load_seconds = declare.gauge(
            "llm_model_load_seconds", "Time that loading the model took.", model=()
        )
        self.info = declare.gauge(
            "llm_model_info",
            "Properties of the served model, always 1. No sample until it is loaded.",
            **dict.fromkeys(
                ("model", "architecture", "engine", "device", "dtype", "quantization", "kernels"),
                (),
            ),
        )


class ModelMetrics:
    """Implements `EngineObserver` for one model: see there for the threads."""

    def __init__(self, families: EngineFamilies, info: ModelInfo, read_gpu: ReadGpu | None) -> None:
        """`read_gpu` is given where the model is on a GPU."""
        self._families = families
        self._model = model = info.model_id
        families.ready.remove(NO_MODEL)
        families.slots.of(model).set(info.max_batch_size)
        families.queue_capacity.of(model).set(info.max_waiting)
        local = info.local
        facts = ("", info.engine, "", "", "", "")
        if local is not None:
            self._set_memory(local, read_gpu)
            facts = (
                local.architecture,
                info.engine,
                local.device,
                local.dtype,
                local.quantization,
                local.kernels or "",
            )
        families.info.of(model, *facts).set(1)

    def _set_memory(self, local: LocalEngineInfo, read_gpu: ReadGpu | None) -> None:
        families, model = self._families, self._model
        families.load_seconds.of(model).set(local.load_seconds)
        families.kv_capacity.of(model).set(local.kv_cache_bytes)
        families.memory.of(model, "weights").set(local.weights_bytes)
        families.memory.of(model, "kv_cache").set(local.kv_cache_bytes)
        compute = families.memory.of(model, "compute")
        compute.set(local.compute_bytes)
        if read_gpu is not None:
            held_bytes = local.weights_bytes + local.kv_cache_bytes
            compute.set_function(partial(compute_bytes, read_gpu, held_bytes))

    def step_finished(self, stats: StepStats) -> None:
        families, model = self._families, self._model
        self.queue_changed(stats.num_running, stats.num_waiting, stats.kv_cache_used_bytes)
        families.batch_size.of(model).observe(stats.num_sequences)
        families.prompt_tokens.of(model, "computed").inc(stats.num_computed_prompt_tokens)
        families.prompt_tokens.of(model, "cached").inc(stats.num_cached_prompt_tokens)
        families.output_tokens.of(model).inc(stats.num_output_tokens)
        families.preemptions.of(model).inc(stats.num_preemptions)
        families.forced_tokens.of(model).inc(stats.num_forced_tokens)
        num_accepted = stats.num_accepted_draft_tokens
        families.draft_tokens.of(model, "accepted").inc(num_accepted)
        families.draft_tokens.of(model, "rejected").inc(stats.num_draft_tokens - num_accepted)
        families.busy.of(model, "prefill").inc(stats.prefill_seconds)
        families.busy.of(model, "decode").inc(stats.decode_seconds)

    def tokens_delivered(
        self, first_tokens: Sequence[tuple[str, float]], gaps: Sequence[float]
    ) -> None:
        self._families.inter_token.of(self._model).observe_all(gaps)
        for sequence_id, seconds in first_tokens:
            # A sequence's id is its request's and the number of the choice.
            request_id = sequence_id.rpartition("-")[0] or sequence_id
            self._families.first_token.of(self._model).observe(seconds, {"trace_id": request_id})
            self._families.recent_first_tokens.observe(seconds)

    def queue_changed(self, num_running: int, num_waiting: int, kv_cache_used_bytes: int) -> None:
        self._families.running.of(self._model).set(num_running)
        self._families.waiting.of(self._model).set(num_waiting)
        self._families.kv_used.of(self._model).set(kv_cache_used_bytes)

    def sequence_cancelled(self, phase: Phase, seconds_to_free: float) -> None:
        self._families.cancellations.of(self._model, phase).inc()
        self._families.time_to_free.of(self._model).observe(seconds_to_free)

    def ready_changed(self, is_ready: bool, reason: str) -> None:
        self._families.ready.of(self._model).set(is_ready)

    def engine_failed(self, error: BaseException) -> None:
        self._families.failures.of(self._model).inc()
