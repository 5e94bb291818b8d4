"""Each architecture as a tiny random model, served over HTTP beside `transformers.generate`.

`make test-models` runs this and writes docs/models.md from what it found.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from llm_service.engine.loading.compatibility import why_not_batchable, why_shell_not_batchable
from tests.strangers.architectures import FAMILIES, tiny_config
from tests.strangers.models import MAX_TOKENS, Answer, save_model
from tests.strangers.table import Row, write_row, write_table
from tests.support.service import RunningService

# Old architectures warn about what they will no longer do; none of that is ours.
pytestmark = [pytest.mark.models, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

# One thread: for so little work, more only wait for each other.
SETTINGS: dict[str, Any] = {"dtype": "float32", "kv_cache_bytes": 2**24, "threads": 1}


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(SETTINGS["threads"])
    yield
    write_table()


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_tiny_model_answers_over_http_as_generate_does(model_type: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    expected = save_model(model_type, folder)
    row = Row(model_type)
    try:
        with _served(folder, quantization="none") as service:
            row.describe(_engine_page(service))
            row.alone = _differences(_ask_one_by_one(service, expected[:2]), expected[:2])
            row.together = _differences(_ask_together(service, expected), expected)
        for bits in ("8bit", "4bit"):
            with _served(folder, quantization=bits) as service:
                row.describe_quantized(bits, _engine_page(service))
                _ask_together(service, expected[:3])
    except Exception as error:
        row.failure = str(error).partition("\n")[0]
        raise
    finally:
        write_row(row)
    assert not row.problems()


@pytest.mark.parametrize("model_type", FAMILIES)
def test_an_architecture_that_is_batched_is_not_foretold_otherwise(model_type: str) -> None:
    with torch.device("meta"):
        shell = AutoModelForCausalLM.from_config(tiny_config(model_type)).eval()
    foretold = why_shell_not_batchable(shell, traces=True)
    if foretold is not None:
        model = AutoModelForCausalLM.from_config(tiny_config(model_type)).float().eval()
        assert why_not_batchable(model) == foretold


@contextmanager
def _served(folder: Path, **settings: Any) -> Iterator[RunningService]:
    state = folder.parent / "-".join(settings.values())
    service = RunningService(state, model_id=str(folder), **SETTINGS, **settings)
    try:
        service.__enter__()
    except AssertionError as error:
        raise RuntimeError(service.app.state.services.models.reason) from error
    try:
        yield service
    finally:
        service.stop()


def _engine_page(service: RunningService) -> dict[str, Any]:
    with service.client() as http:
        page: dict[str, Any] = http.get("/api/engine").raise_for_status().json()
    return page


def _ask_one_by_one(service: RunningService, expected: Sequence[Answer]) -> list[Answer]:
    with service.client() as http:
        return [_ask(http, each.prompt) for each in expected]


def _ask_together(service: RunningService, expected: Sequence[Answer]) -> list[Answer]:
    with service.client() as http, ThreadPoolExecutor(len(expected)) as pool:
        return list(pool.map(lambda each: _ask(http, each.prompt), expected))


def _ask(http: httpx.Client, prompt: tuple[int, ...]) -> Answer:
    body = {"model": "model", "prompt": prompt, "max_tokens": MAX_TOKENS, "temperature": 0}
    response = http.post("/v1/completions", json=body)
    assert response.status_code == 200, response.json()["error"]["message"]
    (choice,) = response.json()["choices"]
    return Answer(prompt, choice["text"], choice["finish_reason"])


def _differences(found: Sequence[Answer], expected: Sequence[Answer]) -> str:
    """Empty when all agree; else how many differ, and the first of them."""
    wrong = [(f, e) for f, e in zip(found, expected, strict=True) if f != e]
    if not wrong:
        return ""
    first, right = wrong[0]
    return (
        f"{len(wrong)} of {len(expected)} differ: {first.text!r} ({first.finish_reason}) where"
        f" generate answers {right.text!r} ({right.finish_reason})"
    )
