"""A loaded `Metrics`, and a request as the API layer would record it."""

import time
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from llm_service.observability.metrics import Metrics
from llm_service.observability.record import RequestRecord
from tests.support.fake_engine import INFO

MakeRecord = Callable[..., RequestRecord]


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics(key_names=["admin"])
    metrics.of_model(INFO)
    return metrics


@pytest.fixture
def registry(metrics: Metrics) -> CollectorRegistry:
    return metrics.registry


@pytest.fixture
def make_record() -> MakeRecord:
    def make(**changes: object) -> RequestRecord:
        record = RequestRecord(
            request_id="request-1",
            started_at=time.time(),
            key_name="admin",
            operation="chat",
            model="pocket",
            stream=True,
            outcome="stop",
            prompt_tokens=20,
            cached_tokens=16,
            output_tokens=5,
            queue_seconds=0.004,
            prefill_seconds=0.03,
            decode_seconds=0.4,
            ttft_seconds=0.034,
            duration_seconds=0.44,
        )
        for name, value in changes.items():
            setattr(record, name, value)
        return record

    return make
