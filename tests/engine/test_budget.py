"""Engines of one process share its memory and compute in turns."""

import threading
from dataclasses import replace

import pytest

from llm_service.engine import unobserved
from llm_service.engine.budget import Budget, Turn
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.factory import load_engine
from llm_service.machine import Machine
from tests.engine.cores import make_engine
from tests.engine.models import fresh_model
from tests.engine.test_batched_engine import ask, tokens

MIB = 2**20


class Watched(Turn):
    """Says when somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.somebody_waits = threading.Event()

    def _wait(self, called: threading.Event) -> None:
        self.somebody_waits.set()
        super()._wait(called)


def machine_with(available: int) -> Machine:
    return replace(Machine.detect(), memory_available_bytes=available)


def test_a_turn_passes_to_who_waits_and_not_back_to_who_had_it() -> None:
    turn, order = Watched(), []

    def other() -> None:
        with turn:
            order.append("other")

    thread = threading.Thread(target=other)
    with turn:
        thread.start()
        assert turn.somebody_waits.wait(10)
        order.append("first")
    with turn:
        order.append("again")
    thread.join(10)
    assert order == ["first", "other", "again"]
    with turn:  # and it is free at the end
        pass


@pytest.mark.anyio
async def test_an_engine_computes_only_while_it_has_the_turn() -> None:
    turn = Watched()
    engine = make_engine(fresh_model("llama"), turn=turn)
    await engine.start()
    try:
        with turn:
            stream = engine.submit(ask((5, 6, 7)))
            assert turn.somebody_waits.wait(10)
            assert stream.sequences[0].usage.num_output_tokens == 0
        assert await tokens(stream)
    finally:
        await engine.stop(0)


def test_what_models_have_taken_is_not_offered_again() -> None:
    budget = Budget(lambda: machine_with(1000 * MIB))
    budget.take("a", 300 * MIB)
    assert budget.machine().memory_available_bytes == 700 * MIB
    with pytest.raises(ValueError, match="loaded as 'a' already"):
        budget.take("a", 1)
    budget.give_back("a")
    budget.give_back("a")
    assert budget.machine().memory_available_bytes == 1000 * MIB


def test_memory_that_others_use_is_not_offered() -> None:
    available = iter([1000 * MIB, 400 * MIB])
    budget = Budget(lambda: machine_with(next(available)))
    assert budget.machine().memory_available_bytes == 400 * MIB


def test_a_second_model_gets_its_cache_from_what_the_first_left() -> None:
    budget = Budget(lambda: machine_with(220 * MIB))
    first, second = (
        load_engine(EngineConfig(threads=1, served_name=name), unobserved, budget).info
        for name in ("first", "second")
    )
    assert first.local is not None
    assert second.local is not None
    assert 0 < second.local.kv_cache_bytes < first.local.kv_cache_bytes
    assert budget.taken == {"first": first.local.held_bytes, "second": second.local.held_bytes}
    assert sum(budget.taken.values()) < 220 * MIB
