"""The engine's tests decide alike on every CPU."""

import pytest

from llm_service.engine.kernels.library import Kernels


@pytest.fixture(autouse=True)
def kernels_are_made_for_this_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without AVX2 a plan neither fuses unrounded weights nor quantizes by itself.

    The portable kernels compute both all the same, so tests of what is computed run everywhere.
    A test of that decision itself sets `is_tuned`.
    """
    monkeypatch.setattr(Kernels, "is_tuned", True)
