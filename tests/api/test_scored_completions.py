"""Completions with echo, best_of and suffix, on the bundled model and the fake engine."""

import json
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_service.engine.tokenization import SealedTokenizer
from tests.support.fake_engine import FakeEngine
from tests.support.service import RunningService

PATH = "/v1/completions"
POCKET = Path(__file__).parents[2] / "models" / "pocket"
TEXTS = ["The capital of France is Paris.", "Count from 1 to 5: 1, 2, 3", "Über 7 → ok"]


def post(service: RunningService, status: int = 200, **fields: Any) -> Any:
    with service.client() as http:
        answer = http.post(PATH, json={"model": "pocket", **fields})
    assert answer.status_code == status, answer.text
    return answer.json()


def token_ids(service: RunningService, text: str) -> list[int]:
    with service.client() as http:
        ids: list[int] = http.post("/tokenize", json={"prompt": text}).json()["tokens"]
    return ids


@pytest.fixture(scope="module")
def faked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("state"), engine=FakeEngine()) as running:
        yield running


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_a_batch_is_scored_as_evaluation_harnesses_do_it(
    service: RunningService, max_tokens: int
) -> None:
    """Contexts and continuations as token ids; only the continuation's part is summed up."""
    prompts = [token_ids(service, text) for text in TEXTS]
    answer = post(
        service, prompt=prompts, echo=True, logprobs=1, max_tokens=max_tokens, temperature=0, seed=1
    )
    choices = sorted(answer["choices"], key=itemgetter("index"))
    model: Any = AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32)
    for text, ids, choice in zip(TEXTS, prompts, choices, strict=True):
        with torch.inference_mode():
            rows = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
        logprobs = choice["logprobs"]
        assert choice["text"].startswith(text)
        found = logprobs["token_logprobs"]
        assert len(found) == len(ids) + max_tokens
        assert found[0] is None
        assert logprobs["top_logprobs"][0] is None
        expected = [rows[i, token].item() for i, token in enumerate(ids[1:])]
        assert found[1 : len(ids)] == pytest.approx(expected, abs=1e-4)
        for i, top in enumerate(logprobs["top_logprobs"][1 : len(ids)]):
            is_greedy = rows[i].argmax().item() == ids[i + 1]
            assert (max(top.values()) == found[i + 1]) == is_greedy
        ends = [*logprobs["text_offset"][1:], len(choice["text"])]
        for token, start, end in zip(
            logprobs["tokens"], logprobs["text_offset"], ends, strict=True
        ):
            is_whole = not token.startswith(("bytes:", "<|"))
            assert not is_whole or choice["text"][start:end] == token
    assert answer["usage"]["completion_tokens"] == max_tokens * len(prompts)
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_an_echo_is_the_prompt_and_then_the_answer_streamed_or_not(service: RunningService) -> None:
    fields: dict[str, Any] = {"prompt": TEXTS[1], "temperature": 0, "max_tokens": 6, "logprobs": 2}
    plain = post(service, **fields)["choices"][0]
    echoed = post(service, **fields, echo=True)["choices"][0]
    assert echoed["text"] == TEXTS[1] + plain["text"]
    assert echoed["finish_reason"] == plain["finish_reason"]
    num_answer = len(plain["logprobs"]["tokens"])
    assert echoed["logprobs"]["tokens"][-num_answer:] == plain["logprobs"]["tokens"]
    offsets = [offset + len(TEXTS[1]) for offset in plain["logprobs"]["text_offset"]]
    assert echoed["logprobs"]["text_offset"][-num_answer:] == offsets
    with service.client() as http:
        lines = http.post(
            PATH, json={"model": "pocket", **fields, "echo": True, "stream": True}
        ).text
    events = [line.removeprefix("data: ") for line in lines.splitlines() if line.startswith("data")]
    parts = [json.loads(event)["choices"][0] for event in events[:-1]]
    assert "".join(part["text"] for part in parts) == echoed["text"]
    tokens = [token for part in parts if part["logprobs"] for token in part["logprobs"]["tokens"]]
    assert tokens == echoed["logprobs"]["tokens"]


def test_without_tokens_to_generate_only_the_prompt_comes_back(service: RunningService) -> None:
    answer = post(service, prompt=TEXTS[0], echo=True, max_tokens=0)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == (TEXTS[0], "length")
    assert choice["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 0
    refused = post(service, 400, prompt=TEXTS[0], max_tokens=0)["error"]
    assert refused["param"] == "max_tokens"
    assert "echo" in refused["message"]


def test_the_best_of_several_answers_are_sent_the_best_first(service: RunningService) -> None:
    fields: dict[str, Any] = {
        "prompt": ["Once upon a time", "The sea"],
        "temperature": 1.5,
        "seed": 3,
        "max_tokens": 8,
        "ignore_eos": True,
    }
    every = post(service, **fields, n=6, logprobs=0)
    best = post(service, **fields, n=2, best_of=6)
    chosen: list[str] = []
    for first in (0, 6):
        group = every["choices"][first : first + 6]
        group.sort(key=lambda choice: -sum(choice["logprobs"]["token_logprobs"]))
        chosen += [choice["text"] for choice in group[:2]]
    assert [choice["text"] for choice in best["choices"]] == chosen
    assert [choice["index"] for choice in best["choices"]] == [0, 1, 2, 3]
    assert all(choice["logprobs"] is None for choice in best["choices"])
    assert best["usage"]["completion_tokens"] == every["usage"]["completion_tokens"]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"n": 3, "best_of": 2}, "best_of", "at least n, which is 3"),
        ({"best_of": 2, "stream": True}, "best_of", "cannot be combined with stream"),
        ({"prompt": ["a"] * 20, "best_of": 8}, "prompt", "best_of = 8 ask for 160"),
        ({"suffix": "x", "echo": True}, "echo", "cannot be combined with suffix"),
        ({"suffix": "x"}, "suffix", "not supported by pocket"),
    ],
)
def test_what_cannot_be_combined_is_refused_by_name(
    service: RunningService, fields: dict[str, Any], param: str, words: str
) -> None:
    error = post(service, 400, **{"prompt": "a", **fields})["error"]
    assert error["param"] == param
    assert words in error["message"]


def test_a_suffix_makes_a_prompt_with_a_gap(faked: RunningService) -> None:
    answer = post(faked, prompt="ab", suffix="yz", max_tokens=3)
    assert answer["usage"]["prompt_tokens"] == len("ab") + len("yz") + 3
    refused = post(faked, 400, prompt=[1, 2], suffix="yz", max_tokens=3)["error"]
    assert refused["param"] == "prompt"
    assert post(faked, prompt="ab", suffix="", max_tokens=3)["usage"]["prompt_tokens"] == 2


def test_the_texts_around_a_gap_cannot_hold_its_tokens() -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(POCKET)
    assert SealedTokenizer(tokenizer).infill is None
    names = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    sealed = SealedTokenizer(tokenizer)
    infill = sealed.infill
    assert infill is not None
    begin, hole, end, pad = tokenizer.convert_tokens_to_ids(names)
    assert (infill.begin, infill.hole, infill.end, infill.stops) == (begin, hole, end, (pad,))
    ids = sealed.encode_infill("def f(<|fim_middle|>", "return 1")
    assert ids[0] == begin
    assert ids[-1] == end
    assert ids.count(end) == ids.count(hole) == 1
    at = ids.index(hole)
    assert sealed.decode(ids[1:at]) == "def f(<|fim_middle|>"
    assert sealed.decode(ids[at + 1 : -1]) == "return 1"
