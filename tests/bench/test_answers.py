"""From bytes and moments to tokens and figures."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.bench import answers
from llm_service.bench.answers import Answer
from llm_service.bench.client import Exchange
from llm_service.bench.load import Cell, figures

EVENTS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"index": 0, "delta": {"content": "Grüße"}}]},
    {"choices": [{"index": 0, "delta": {"content": " 你"}}]},
    {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
]
STREAM = b": comment\n\n" + b"".join(
    b"data: %b\r\n\r\n" % json.dumps(event, ensure_ascii=False).encode() for event in EVENTS
)
WHOLE = STREAM + b"data: [DONE]\n\n"


@settings(deadline=None)
@given(st.sets(st.integers(1, len(WHOLE) - 1)))
def test_a_stream_reads_the_same_however_it_was_cut(cuts: set[int]) -> None:
    borders = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[a:b] for a, b in itertools.pairwise(borders)]
    exchange = Exchange(0.0, 200, [(1.0 + i, piece) for i, piece in enumerate(pieces)])
    answer = answers.read(exchange)
    assert answer.text == "Grüße 你"
    assert (answer.prompt_tokens, answer.output_tokens, answer.error) == (5, 2, "")
    # A token has come when its line is whole, not when it began.
    for moment, text in zip(answer.token_times, ("Grüße", "你"), strict=True):
        seen = b"".join(pieces[: int(moment)])
        assert text.encode() in seen


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "spent", "code": "x"}}', "spent"),
        (b'{"error": "spent"}', "spent"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"detail": [{"msg": "field required"}]}', "[{'msg': 'field required'}]"),
        (b"<html>502   Bad\nGateway</html>", "<html>502 Bad Gateway</html>"),
        (b"", "no words"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_an_error_is_told_in_the_servers_words(body: bytes, words: str) -> None:
    answer = answers.read(Exchange(0.0, 503, [(1.0, body)]))
    assert answer.error == f"503: {words}"


def test_an_error_inside_a_stream_makes_the_answer_an_error() -> None:
    body = STREAM + b'data: {"error": {"message": "the engine failed"}}\n\n'
    answer = answers.read(Exchange(0.0, 200, [(1.0, body)]))
    assert answer.error == "in the stream: the engine failed"


def answer(started: float, *times: float, output_tokens: int | None = None) -> Answer:
    return Answer(started, times, times[-1], times[-1], 10, output_tokens, 200, "", "")


def test_figures_are_those_of_answers_worked_out_by_hand() -> None:
    good = [
        answer(0.0, 1.0, 1.1, 1.2, 1.3, output_tokens=4),
        answer(0.0, 3.0, 3.2, 3.6, output_tokens=3),
    ]
    failed = Answer(0.0, (), 1.0, 1.0, None, None, 500, "500: broken", "")
    result = figures([*good, failed], Cell(2, 10, 4, 3), seconds=4.0)
    assert result["completed"] == 2
    assert result["errors"] == {"500: broken": 1}
    assert result["output_tokens_per_s"] == pytest.approx(7 / 4)
    assert result["ttft_p50"] == pytest.approx(2.0)
    assert result["itl_p50"] == pytest.approx(0.1)
    assert result["itl_max"] == pytest.approx(0.4)
    assert result["decode_tokens_per_s"] == pytest.approx((3 / 0.3 + 2 / 0.6) / 2)
    assert result["other_lengths"] == 1
    assert result["tokens_counted_by_server"] is True


def test_several_tokens_in_one_event_count_as_the_server_counts_them() -> None:
    result = figures([answer(0.0, 1.0, 2.0, output_tokens=8)], Cell(1, 10, 8, 1), seconds=2.0)
    assert result["output_tokens"] == 8
    assert result["events"] == 2


def test_figures_of_nothing_say_nothing() -> None:
    failed = Answer(0.0, (), 1.0, 1.0, None, None, 500, "500: broken", "")
    result = figures([failed], Cell(1, 10, 4, 1), seconds=1.0)
    assert result["output_tokens_per_s"] is None
    assert result["ttft_p50"] is None


def test_an_answer_of_tokens_without_text_is_no_error_and_has_no_times() -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}\n\n'
    silent = answers.read(Exchange(0.0, 200, [(1.0, usage)]))
    assert silent.error == ""
    result = figures([silent], Cell(1, 5, 3, 1), seconds=1.0)
    assert (result["output_tokens"], result["without_text"]) == (3, 1)
    assert result["ttft_p50"] is None
    assert result["decode_tokens_per_s"] is None


def test_decoding_is_timed_to_its_end_though_the_last_tokens_had_no_text() -> None:
    events = [
        (1.0, b'data: {"choices": [{"text": "a"}]}\n\n'),
        (1.1, b'data: {"choices": [{"text": "b"}]}\n\n'),
        (2.0, b'data: {"choices": [{"text": "", "finish_reason": "length"}]}\n\n'),
        (9.0, b'data: {"choices": [], "usage": {"completion_tokens": 11}}\n\n'),
    ]
    result = figures([answers.read(Exchange(0.0, 200, events))], Cell(1, 5, 11, 1), seconds=9.0)
    assert result["decode_tokens_per_s"] == pytest.approx(10.0)
