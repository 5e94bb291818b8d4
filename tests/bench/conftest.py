"""Reading a large buffer takes seconds on a busy machine; here a small one will do."""

import pytest

from llm_service.bench import facts


@pytest.fixture(autouse=True)
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "BANDWIDTH_BYTES", 2**20)
