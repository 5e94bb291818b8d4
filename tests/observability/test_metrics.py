"""What is counted, under which names, and that no caller can make it grow."""

import inspect
import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from llm_service import access
from llm_service.access.observer import LimitName, LimitObserver
from llm_service.config import Settings
from llm_service.engine import FinishReason, StepStats
from llm_service.engine.observer import EngineObserver
from llm_service.errors import ServiceError
from llm_service.observability.buckets import FIRST_TOKEN, HTTP, INTER_TOKEN, LONG, QUEUE
from llm_service.observability.engine_metrics import ModelMetrics
from llm_service.observability.metrics import LIMITS, REDIS_OPS, Metrics
from llm_service.observability.record import ERROR_KINDS, OUTCOMES
from llm_service.observability.run_file import OpenRequests
from tests.observability.conftest import MakeRecord
from tests.support.fake_engine import INFO, LOCAL
from tests.support.fake_gpu import ON_GPU, FakeGpu

DOCS = Path(__file__).parent.parent.parent / "docs" / "metrics.md"

# Others' dashboards and alerts use these: add, never rename, never remove.
PINNED = {
    ("http_request_duration_seconds", "histogram", "route, method"),
    ("http_requests_total", "counter", "route, method, code"),
    ("llm_batch_size", "histogram", "model"),
    ("llm_build_info", "gauge", "version"),
    ("llm_cancellations_total", "counter", "model, phase"),
    ("llm_cpu_limit_cores", "gauge", ""),
    ("llm_cpu_throttled_seconds_total", "counter", ""),
    ("llm_engine_busy_seconds_total", "counter", "model, phase"),
    ("llm_engine_failures_total", "counter", "model"),
    ("llm_event_loop_lag_seconds", "histogram", ""),
    ("llm_gpu_memory_used_bytes", "gauge", "gpu"),
    ("llm_gpu_utilization_ratio", "gauge", "gpu"),
    ("llm_inter_token_latency_seconds", "histogram", "model"),
    ("llm_key_requests_total", "counter", "key_name, outcome"),
    ("llm_key_tokens_total", "counter", "key_name, type"),
    ("llm_kv_cache_capacity_bytes", "gauge", "model"),
    ("llm_kv_cache_used_bytes", "gauge", "model"),
    ("llm_memory_bytes", "gauge", "model, kind"),
    ("llm_memory_limit_bytes", "gauge", ""),
    (
        "llm_model_info",
        "gauge",
        "model, architecture, engine, device, dtype, quantization, kernels",
    ),
    ("llm_model_load_seconds", "gauge", "model"),
    ("llm_output_tokens_total", "counter", "model"),
    ("llm_forced_tokens_total", "counter", "model"),
    ("llm_draft_tokens_total", "counter", "model, outcome"),
    ("llm_preemptions_total", "counter", "model"),
    ("llm_process_memory_bytes", "gauge", "type"),
    ("llm_prompt_tokens_total", "counter", "model, source"),
    ("llm_queue_capacity", "gauge", "model"),
    ("llm_rate_limit_rejections_total", "counter", "key_name, limit"),
    ("llm_ready", "gauge", "model"),
    ("llm_redis_operation_duration_seconds", "histogram", "op"),
    ("llm_key_database_up", "gauge", ""),
    ("llm_redis_up", "gauge", ""),
    ("llm_request_decode_seconds", "histogram", "model"),
    ("llm_request_duration_seconds", "histogram", "model, stream"),
    ("llm_request_errors_total", "counter", "kind, phase"),
    ("llm_request_output_tokens", "histogram", "model"),
    ("llm_request_prefill_seconds", "histogram", "model"),
    ("llm_request_prompt_tokens", "histogram", "model"),
    ("llm_request_queue_seconds", "histogram", "model"),
    ("llm_requests_running", "gauge", "model"),
    ("llm_requests_total", "counter", "model, operation, outcome"),
    ("llm_requests_waiting", "gauge", "model"),
    ("llm_slots", "gauge", "model"),
    ("llm_time_per_output_token_seconds", "histogram", "model"),
    ("llm_time_to_first_token_seconds", "histogram", "model"),
    ("llm_time_to_free_seconds", "histogram", "model"),
    ("process_cpu_seconds_total", "counter", ""),
    ("process_max_fds", "gauge", ""),
    ("process_open_fds", "gauge", ""),
    ("process_resident_memory_bytes", "gauge", ""),
    ("process_start_time_seconds", "gauge", ""),
    ("process_virtual_memory_bytes", "gauge", ""),
}


@pytest.fixture
def used(make_record: MakeRecord) -> Metrics:
    """On a GPU, after one of everything that can happen."""
    metrics = Metrics(key_names=["admin"], read_gpu=FakeGpu())
    engine = metrics.of_model(ON_GPU)
    metrics.http_finished("/v1/models", "GET", 200, 0.01)
    metrics.request_finished(make_record())
    engine.ready_changed(True, "")
    engine.step_finished(StepStats())
    engine.tokens_delivered([("request-1-0", 0.3)], [0.1])
    engine.sequence_cancelled("decode", 0.01)
    metrics.redis_up(True)
    metrics.redis_operation("admit", 0.002)
    metrics.rejected("admin", "requests")
    return metrics


def listed(registry: CollectorRegistry) -> set[tuple[str, str, str]]:
    """(name, type, labels) of every metric that has a sample."""
    found = set()
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            labels = ", ".join(label for label in sample.labels if label != "le")
            found.add((name, family.type, labels))
    return found


def total(registry: CollectorRegistry, sample: str, **labels: str) -> float:
    value = registry.get_sample_value(sample, labels)
    assert value is not None, f"no sample {sample}{labels}"
    return value


def num_series(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def test_no_metric_was_renamed_relabelled_or_removed(used: Metrics) -> None:
    optional = {("llm_cpu_throttled_seconds_total", "counter", "")}  # by the machine
    assert listed(used.registry) | optional == PINNED


def test_the_documented_metrics_are_those_of_the_code() -> None:
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\| [^|]+ \|", re.MULTILINE)
    assert set(row.findall(DOCS.read_text(encoding="utf-8"))) == PINNED


def test_the_documented_queries_are_sound_and_use_metrics_that_exist(tmp_path: Path) -> None:
    queries = re.findall(r"```promql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    rules = [{"record": f"doc:query:{i}", "expr": query} for i, query in enumerate(queries)]
    path = tmp_path / "rules.yml"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}))
    check = subprocess.run(["promtool", "check", "rules", path], capture_output=True, check=False)
    assert check.returncode == 0, check.stderr
    assert queries
    names = {name for name, _, _ in PINNED}
    used = re.findall(r"\b(?:llm|http|process)_\w+", " ".join(queries))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} <= names


def test_promtool_finds_nothing_to_complain_about(used: Metrics) -> None:
    check = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(used.registry),
        capture_output=True,
        check=False,
    )
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_openmetrics_parses_and_its_exemplars_name_the_request(used: Metrics) -> None:
    text = openmetrics.generate_latest(used.registry).decode()
    exemplars = {
        family.name: sample.exemplar.labels
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert exemplars == {
        "llm_request_duration_seconds": {"trace_id": "request-1"},
        "llm_time_to_first_token_seconds": {"trace_id": "request-1"},
    }
    assert b"request-1" not in generate_latest(used.registry)


def test_no_series_of_creation_times_are_made(used: Metrics) -> None:
    assert b"_created" not in generate_latest(used.registry)


def test_two_services_in_one_process_count_apart(make_record: MakeRecord) -> None:
    first, second = Metrics(), Metrics()
    first.request_finished(make_record())
    labels = {"model": "other", "operation": "chat", "outcome": "stop"}
    assert total(first.registry, "llm_requests_total", **labels) == 1
    assert total(second.registry, "llm_requests_total", **labels) == 0


@pytest.mark.parametrize(
    ("observer", "listener"), [(EngineObserver, ModelMetrics), (LimitObserver, Metrics)]
)
def test_metrics_hear_all_that_an_observer_hears(observer: type, listener: type) -> None:
    for name, method in inspect.getmembers(observer, inspect.isfunction):
        if not name.startswith("_"):
            heard = inspect.signature(getattr(listener, name)).parameters
            assert list(heard) == list(inspect.signature(method).parameters), name


def test_every_outcome_begins_at_zero_so_that_a_rate_sees_the_first(
    registry: CollectorRegistry,
) -> None:
    for outcome in OUTCOMES:
        labels = {"operation": "chat", "outcome": outcome}
        assert total(registry, "llm_requests_total", model="pocket", **labels) == 0
        assert total(registry, "llm_key_requests_total", key_name="admin", outcome=outcome) == 0
    for limit in LIMITS:
        labels = {"key_name": "admin", "limit": limit}
        assert total(registry, "llm_rate_limit_rejections_total", **labels) == 0
    assert total(registry, "llm_time_to_first_token_seconds_count", model="pocket") == 0


def test_requests_that_a_crash_has_cut_are_errors_of_their_own_kind(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.crash_found(OpenRequests("pocket", "chat", "decode", 19))
    metrics.crash_found(OpenRequests("no-model", "no-operation", "no-phase", 1))
    for model, count in (("pocket", 19), ("other", 1)):
        labels = {"model": model, "operation": "chat", "outcome": "error"}
        assert total(registry, "llm_requests_total", **labels) == count
    for phase, count in (("decode", 19), ("admission", 1)):
        assert total(registry, "llm_request_errors_total", kind="crashed", phase=phase) == count


def test_every_kind_of_error_and_every_limit_that_is_listed_is_one_that_something_reports() -> None:
    errors: list[type[ServiceError]] = [ServiceError]
    for error in errors:
        errors += error.__subclasses__()
    # A process that was killed reports nothing: the next one does.
    assert {error.kind for error in errors} | {"crashed"} == set(ERROR_KINDS)
    assert set(get_args(LimitName)) == set(LIMITS)
    reported = {*FinishReason, "cancelled", "timeout", "error", "rejected"}
    assert reported - {FinishReason.ABORT} == set(OUTCOMES)


def test_the_thresholds_of_the_objectives_are_bucket_bounds() -> None:
    assert 2 in FIRST_TOKEN
    assert 30 in LONG


def test_what_a_request_can_take_lies_below_a_bound_and_no_earlier_bound_was_lost() -> None:
    timeout = Settings.model_fields["request_timeout_seconds"].default
    for bounds in (LONG, FIRST_TOKEN, QUEUE, HTTP):
        assert timeout in bounds
        assert max(bounds) > timeout
        assert list(bounds) == sorted(bounds)
        assert {1, 2, 5, 10, 30, 60} <= set(bounds)
    assert {90, 120, 300} <= set(LONG)
    assert {120, 300} <= set(HTTP)
    assert 0.2 in INTER_TOKEN
    assert {0.1, 0.25, 3, 7.5, 15, 20, 45} <= set(LONG)
    assert {0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.5, 3, 7.5, 15, 20} <= set(FIRST_TOKEN)
    assert {0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.3} <= set(INTER_TOKEN)
    assert {0.001, 0.01, 0.05, 0.1, 0.25, 0.5} <= set(QUEUE)


@pytest.mark.parametrize("bounds", [LONG, FIRST_TOKEN, INTER_TOKEN])
def test_no_bucket_below_a_minute_is_wider_than_what_lies_below_it(bounds: tuple[float]) -> None:
    assert bounds[0] <= 0.005
    for low, high in pairwise(bound for bound in bounds if bound <= 60):
        assert high / low <= 2.5 if high > 1 else high / low <= 2


def test_a_finished_request_is_counted_once_everywhere(
    metrics: Metrics, registry: CollectorRegistry, make_record: MakeRecord
) -> None:
    metrics.request_finished(make_record())
    labels = {"model": "pocket", "operation": "chat", "outcome": "stop"}
    assert total(registry, "llm_requests_total", **labels) == 1
    assert total(registry, "llm_key_tokens_total", key_name="admin", type="output") == 5
    assert total(registry, "llm_key_tokens_total", key_name="admin", type="prompt") == 20
    assert (
        total(registry, "llm_request_duration_seconds_sum", model="pocket", stream="true") == 0.44
    )
    assert total(registry, "llm_request_queue_seconds_sum", model="pocket") == 0.004
    assert total(registry, "llm_time_per_output_token_seconds_sum", model="pocket") == 0.1


def test_the_tokens_of_a_cancelled_stream_are_counted(
    metrics: Metrics, registry: CollectorRegistry, make_record: MakeRecord
) -> None:
    metrics.request_finished(make_record(outcome="cancelled", output_tokens=3))
    assert total(registry, "llm_key_tokens_total", key_name="admin", type="output") == 3
    assert total(registry, "llm_key_requests_total", key_name="admin", outcome="cancelled") == 1
    assert listed_errors(registry) == {}


def test_an_answer_that_dies_mid_stream_is_an_error_with_its_phase(
    metrics: Metrics, registry: CollectorRegistry, make_record: MakeRecord
) -> None:
    record = make_record(outcome="error", error_kind="backend", error_phase="decode")
    metrics.request_finished(record)
    assert listed_errors(registry) == {("backend", "decode"): 1}


def test_a_refused_request_makes_no_latency_look_good(
    metrics: Metrics, registry: CollectorRegistry, make_record: MakeRecord
) -> None:
    refused = make_record(outcome="rejected", error_kind="overloaded", error_phase="admission")
    metrics.request_finished(refused)
    assert total(registry, "llm_request_duration_seconds_count", model="pocket", stream="true") == 0
    assert total(registry, "llm_request_prompt_tokens_count", model="pocket") == 0
    assert listed_errors(registry) == {("overloaded", "admission"): 1}


def test_a_request_that_never_ran_has_no_phases(
    metrics: Metrics, registry: CollectorRegistry, make_record: MakeRecord
) -> None:
    never = dict.fromkeys(("queue_seconds", "prefill_seconds", "decode_seconds", "ttft_seconds"))
    metrics.request_finished(make_record(outcome="cancelled", output_tokens=0, **never))
    for phase in ("queue", "prefill", "decode"):
        assert total(registry, f"llm_request_{phase}_seconds_count", model="pocket") == 0
    assert total(registry, "llm_request_duration_seconds_count", model="pocket", stream="true") == 1


def test_what_callers_send_cannot_make_series(
    metrics: Metrics, registry: CollectorRegistry, make_record: MakeRecord
) -> None:
    metrics.request_finished(make_record(model="other", outcome="error"))
    before = num_series(registry)
    for number in range(100):
        metrics.request_finished(
            make_record(
                request_id=f"id-{number}",
                model=f"model-{number}",
                outcome="error",
                error_kind=f"kind-{number}",
                error_phase=f"phase-{number}",
            )
        )
    assert num_series(registry) == before
    labels = {"model": "other", "operation": "chat", "outcome": "error"}
    assert total(registry, "llm_requests_total", **labels) == 101


def test_the_fifty_first_key_name_is_other(metrics: Metrics, registry: CollectorRegistry) -> None:
    for number in range(60):  # `admin` is one of the fifty
        metrics.rejected(f"key-{number}", "requests")
    metrics.rejected("Not a name <script>", "requests")
    family = next(f for f in registry.collect() if f.name == "llm_rate_limit_rejections")
    names = {sample.labels["key_name"] for sample in family.samples}
    assert len(names - {"other", "anonymous"}) == 50
    labels = {"key_name": "other", "limit": "requests"}
    assert total(registry, "llm_rate_limit_rejections_total", **labels) == 12


def test_a_service_without_redis_has_no_redis_that_is_down(registry: CollectorRegistry) -> None:
    assert b"llm_redis_up" not in generate_latest(registry)


def test_every_operation_on_redis_begins_at_zero(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.redis_up(True)
    sources = Path(access.__file__).parent.glob("*.py")
    ops = {
        op for file in sources for op in re.findall(r'\.(?:call|_run)\("(\w+)"', file.read_text())
    }
    assert ops == set(REDIS_OPS)
    for op in ops:
        assert total(registry, "llm_redis_operation_duration_seconds_count", op=op) == 0


def test_redis_going_and_coming_back_is_visible(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.redis_up(True)
    assert total(registry, "llm_redis_up") == 1
    metrics.redis_up(False)
    assert total(registry, "llm_redis_up") == 0


def test_a_step_feeds_tokens_time_queues_and_memory(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.of_model(INFO).step_finished(
        StepStats(
            num_sequences=3,
            num_running=2,
            num_waiting=1,
            num_computed_prompt_tokens=40,
            num_cached_prompt_tokens=16,
            num_output_tokens=2,
            num_preemptions=1,
            num_forced_tokens=4,
            num_draft_tokens=5,
            num_accepted_draft_tokens=3,
            prefill_seconds=0.5,
            decode_seconds=0.25,
            kv_cache_used_bytes=4096,
        )
    )
    metrics.of_model(INFO).tokens_delivered([("a-0", 0.3), ("plain", 0.4)], [0.02, 0.021, 9.0])
    pocket = {"model": "pocket"}
    assert total(registry, "llm_requests_running", **pocket) == 2
    assert total(registry, "llm_requests_waiting", **pocket) == 1
    assert total(registry, "llm_kv_cache_used_bytes", **pocket) == 4096
    assert total(registry, "llm_prompt_tokens_total", source="computed", **pocket) == 40
    assert total(registry, "llm_prompt_tokens_total", source="cached", **pocket) == 16
    assert total(registry, "llm_output_tokens_total", **pocket) == 2
    assert total(registry, "llm_preemptions_total", **pocket) == 1
    assert total(registry, "llm_forced_tokens_total", **pocket) == 4
    assert total(registry, "llm_draft_tokens_total", **pocket, outcome="accepted") == 3
    assert total(registry, "llm_draft_tokens_total", **pocket, outcome="rejected") == 2
    assert total(registry, "llm_engine_busy_seconds_total", phase="prefill", **pocket) == 0.5
    assert total(registry, "llm_engine_busy_seconds_total", phase="decode", **pocket) == 0.25
    assert total(registry, "llm_batch_size_sum", **pocket) == 3
    assert total(registry, "llm_time_to_first_token_seconds_count", **pocket) == 2


@pytest.mark.parametrize("amounts", [[], [0.02], [0.005, 0.0051, 0.3, 99.0, 0.0]])
def test_observing_a_batch_counts_as_observing_each(amounts: list[float]) -> None:
    at_once, one_by_one = Metrics(), Metrics()
    at_once.of_model(INFO).tokens_delivered([], amounts)
    for amount in amounts:
        one_by_one.of_model(INFO).tokens_delivered([], [amount])
    name = "llm_inter_token_latency_seconds"
    assert samples_of(at_once, name) == pytest.approx(samples_of(one_by_one, name))


def samples_of(metrics: Metrics, name: str) -> dict[tuple[str, str], float]:
    family = next(f for f in metrics.registry.collect() if f.name == name)
    return {(s.name, s.labels.get("le", "")): s.value for s in family.samples if s.value}


def test_the_loaded_model_tells_its_capacity(registry: CollectorRegistry) -> None:
    assert total(registry, "llm_slots", model="pocket") == INFO.max_batch_size
    assert total(registry, "llm_queue_capacity", model="pocket") == INFO.max_waiting
    assert total(registry, "llm_kv_cache_capacity_bytes", model="pocket") == LOCAL.kv_cache_bytes
    for kind, num_bytes in (("weights", LOCAL.weights_bytes), ("compute", LOCAL.compute_bytes)):
        assert total(registry, "llm_memory_bytes", model="pocket", kind=kind) == num_bytes == 1


def test_a_service_without_a_gpu_has_no_metrics_of_one() -> None:
    gpu = FakeGpu()
    metrics = Metrics(read_gpu=gpu)
    metrics.of_model(INFO)
    assert b"llm_gpu" not in generate_latest(metrics.registry)
    assert gpu.num_reads == 0, "asking would load torch"


def test_a_gpu_tells_its_memory_and_how_busy_it_is_at_each_look() -> None:
    gpu = FakeGpu()
    metrics = Metrics(read_gpu=gpu)
    metrics.of_model(ON_GPU)
    assert total(metrics.registry, "llm_gpu_memory_used_bytes", gpu="0") == 5000
    assert total(metrics.registry, "llm_gpu_utilization_ratio", gpu="0") == 0.75
    assert total(metrics.registry, "llm_memory_bytes", model="pocket", kind="compute") == 4000 - 2
    gpu.change(memory_used_bytes=6000, reserved_bytes=0, utilization_ratio=None)
    assert total(metrics.registry, "llm_gpu_memory_used_bytes", gpu="0") == 6000
    assert total(metrics.registry, "llm_memory_bytes", model="pocket", kind="compute") == 0
    assert b"llm_gpu_utilization_ratio{" not in generate_latest(metrics.registry)


def test_a_gpu_that_is_lost_costs_no_other_metric() -> None:
    gpu = FakeGpu()
    metrics = Metrics(read_gpu=gpu)
    metrics.of_model(ON_GPU)
    gpu.is_lost = True
    text = generate_latest(metrics.registry)
    assert b"llm_slots{" in text
    assert b"llm_gpu_memory_used_bytes{" not in text


def test_readiness_cancellations_and_failures_are_counted(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    metrics.of_model(INFO).ready_changed(True, "")
    assert total(registry, "llm_ready", model="pocket") == 1
    metrics.of_model(INFO).ready_changed(False, "stopping")
    assert total(registry, "llm_ready", model="pocket") == 0
    metrics.of_model(INFO).sequence_cancelled("prefill", 0.02)
    labels = {"model": "pocket", "phase": "prefill"}
    assert total(registry, "llm_cancellations_total", **labels) == 1
    assert total(registry, "llm_time_to_free_seconds_sum", model="pocket") == 0.02
    metrics.of_model(INFO).engine_failed(RuntimeError("boom"))
    assert total(registry, "llm_engine_failures_total", model="pocket") == 1


def test_memory_is_split_as_the_kernel_splits_it(registry: CollectorRegistry) -> None:
    anon = total(registry, "llm_process_memory_bytes", type="anon")
    file = total(registry, "llm_process_memory_bytes", type="file")
    resident = total(registry, "process_resident_memory_bytes")
    assert anon > 2**20
    assert file > 2**20
    assert anon + file == pytest.approx(resident, rel=0.2)
    assert total(registry, "llm_memory_limit_bytes") > anon
    assert total(registry, "llm_cpu_limit_cores") > 0


def listed_errors(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    family = next(f for f in registry.collect() if f.name == "llm_request_errors")
    return {(s.labels["kind"], s.labels["phase"]): s.value for s in family.samples if s.value}
