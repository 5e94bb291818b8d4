"""`llm-service bench` as its users run it: on the real service, and on servers that misbehave."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from llm_service.__main__ import app
from tests.bench.scripted import Reply, ScriptedServer
from tests.support.service import ADMIN_KEY, RunningService

SMALL = ("--prompt-tokens", "24", "--output-tokens", "8", "--repetitions", "2")


def bench(*arguments: str, key: str = "") -> Result:
    return CliRunner().invoke(app, ["bench", *arguments], env={"LLM_KEY": key})


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def answer_as_asked(_: int, body: dict[str, Any], reply: Reply) -> None:
    reply.stream(body["max_tokens"], prompt_tokens=len(body["prompt"].split()))


def test_a_sweep_of_the_service_has_a_line_per_number_of_streams_and_answers_of_the_asked_length(
    service: RunningService, tmp_path: Path
) -> None:
    file, plot = tmp_path / "result.json", tmp_path / "result.svg"
    files = ("--json", str(file), "--plot", str(plot))
    result = bench("http", service.url, *SMALL, "--concurrency", "1,3", *files, key=ADMIN_KEY)
    assert result.exit_code == 0, result.output
    assert re.findall(r"(?m)^ *(\w+) +(?:prompt|24) ", result.stdout) == ["streams", "1", "3"]
    (server,) = read(file)["servers"]
    assert [cell["concurrency"] for cell in server["cells"]] == [1, 3]
    for cell in server["cells"]:
        assert len(cell["repetitions"]) == 2
        for figures in cell["repetitions"]:
            assert figures["completed"] == cell["num_requests"]
            assert figures["other_lengths"] == 0
            assert figures["output_tokens"] == 8 * cell["num_requests"]
            assert 0 < figures["ttft_p50"] <= figures["ttft_p95"] < figures["seconds"]
            assert figures["read_bandwidths"]["1"] > 0
    assert ADMIN_KEY not in file.read_text()
    assert "output tokens/s" in plot.read_text()


def test_chat_is_measured_at_its_own_endpoint(service: RunningService, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    options = (*SMALL, "--concurrency", "2", "--chat", "--json", str(file))
    result = bench("http", service.url, *options, key=ADMIN_KEY)
    assert result.exit_code == 0, result.output
    repetitions = read(file)["servers"][0]["cells"][0]["repetitions"]
    num_answers = sum(figures["completed"] for figures in repetitions)
    with service.client() as http:
        records = http.get("/api/requests", params={"limit": num_answers}).json()["requests"]
    assert [record["operation"] for record in records] == ["chat"] * num_answers
    assert {record["output_tokens"] for record in records} == {8}


def test_a_wrong_key_ends_it_in_the_servers_words(service: RunningService) -> None:
    result = bench("http", service.url, key="wrong")
    assert result.exit_code == 1
    assert "401" in result.stderr
    assert "Traceback" not in result.stderr
    assert "tok/s" not in result.stdout


def test_an_unknown_model_and_a_prompt_that_cannot_fit_end_it_in_the_servers_words(
    service: RunningService,
) -> None:
    result = bench("http", service.url, "--model", "no-such", key=ADMIN_KEY)
    assert result.exit_code == 1
    assert "no-such" in result.stderr
    result = bench("http", service.url, "--prompt-tokens", "100000", key=ADMIN_KEY)
    assert result.exit_code == 1
    assert "2048 tokens" in result.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", "No server answers at http://127.0.0.1:9"),
        ("ftp://somewhere", "is no address of a server"),
        ("http://127.0.0.1:99999999", "is no address of a server"),
        ("two words", "is no address of a server"),
    ],
)
def test_where_no_server_is_it_says_so(url: str, words: str) -> None:
    result = bench("http", url)
    assert result.exit_code == 1
    assert words in result.stderr


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--concurrency", "1,x"), 2, "--concurrency takes numbers"),
        (("--prompt-tokens", "0"), 2, "--prompt-tokens takes numbers"),
        (("--shared-prefix", "128"), 2, "must be less than --prompt-tokens"),
        (("--plot", "plot.pdf"), 1, ".svg or .png"),
        (("--json", "no/such/folder.json"), 1, "no such folder"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_sent(
    options: tuple[str, ...], status: int, words: str
) -> None:
    with ScriptedServer(answer_as_asked) as server:
        result = bench("http", server.url, *options)
        assert result.exit_code == status
        assert words in result.stderr
        assert server.bodies == []


def test_a_spent_limit_in_the_middle_ends_it_at_once() -> None:
    def script(number: int, body: dict[str, Any], reply: Reply) -> None:
        if number >= 5:
            reply.refuse(429, "Rate limit reached: 5 requests per minute.")
        else:
            answer_as_asked(number, body, reply)

    with ScriptedServer(script) as server:
        result = bench("http", server.url, *SMALL, "--concurrency", "1,4", "--requests", "50")
        assert result.exit_code == 1
        assert "Rate limit reached: 5 requests per minute." in result.stderr
        assert len(server.bodies) < 10


def test_a_server_that_refuses_unknown_fields_is_measured_without_them(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, Any], reply: Reply) -> None:
        if "ignore_eos" in body:
            reply.refuse(400, "Unknown field: ignore_eos")
        else:
            answer_as_asked(number, body, reply)

    file = tmp_path / "result.json"
    options = ("--concurrency", "2", "--requests", "4", "--json", str(file))
    with ScriptedServer(script) as server:
        result = bench("http", server.url, *SMALL, *options)
        assert result.exit_code == 0, result.output
        assert "stream_options" in server.bodies[-1]
        assert "ignore_eos" not in server.bodies[-1]
    assert read(file)["servers"][0]["ignores_eos"] is False


def test_answers_of_another_length_are_told() -> None:
    def script(_: int, body: dict[str, Any], reply: Reply) -> None:
        reply.stream(min(5, body["max_tokens"]), prompt_tokens=len(body["prompt"].split()))

    with ScriptedServer(script) as server:
        result = bench("http", server.url, *SMALL, "--concurrency", "2", "--requests", "4")
    assert "8 answers were not 8 tokens long" in result.stdout


def test_without_usage_every_event_counts_as_a_token_and_that_is_told() -> None:
    def script(_: int, body: dict[str, Any], reply: Reply) -> None:
        if "stream_options" in body:
            reply.refuse(422, "Unknown field: stream_options")
        else:
            reply.stream(body["max_tokens"])

    with ScriptedServer(script) as server:
        result = bench("http", server.url, *SMALL, "--concurrency", "1", "--requests", "2")
        assert result.exit_code == 0, result.output
        assert "reports no usage" in result.stdout
        assert "ignore_eos" not in server.bodies[-1]


def test_streams_that_break_are_counted_in_words_and_the_others_go_on(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, Any], reply: Reply) -> None:
        if number == 4:
            reply.break_off()
        elif number == 5:
            reply.stream(0)
        elif number == 6:
            reply.refuse(500, "out of order")
        else:
            answer_as_asked(number, body, reply)

    file = tmp_path / "result.json"
    options = ("--concurrency", "2", "--requests", "10", "--json", str(file))
    with ScriptedServer(script) as server:
        result = bench("http", server.url, *SMALL, *options)
    assert result.exit_code == 0, result.output
    first, second = read(file)["servers"][0]["cells"][0]["repetitions"]
    assert (first["completed"], second["completed"]) == (7, 10)
    assert first["errors"] == {
        "the connection broke before the answer was whole": 1,
        "a stream without any text": 1,
        "500: out of order": 1,
    }
    assert "1 failed: 500: out of order" in result.stdout


def test_a_server_that_answers_nothing_ends_it() -> None:
    def script(number: int, body: dict[str, Any], reply: Reply) -> None:
        if number < 2:
            answer_as_asked(number, body, reply)
        else:
            reply.refuse(500, "out of order")

    with ScriptedServer(script) as server:
        result = bench("http", server.url, *SMALL, "--concurrency", "2", "--requests", "4")
    assert result.exit_code == 1
    assert "500: out of order" in result.stderr


def test_prompts_reach_the_wanted_length_where_the_server_counts_otherwise(tmp_path: Path) -> None:
    def script(_: int, body: dict[str, Any], reply: Reply) -> None:
        reply.stream(body["max_tokens"], prompt_tokens=7 + 3 * len(body["prompt"].split()))

    file = tmp_path / "result.json"
    options = ("--prompt-tokens", "300", "--output-tokens", "2", "--json", str(file))
    with ScriptedServer(script) as server:
        result = bench("http", server.url, *options, "--concurrency", "1", "--repetitions", "1")
    assert result.exit_code == 0, result.output
    figures = read(file)["servers"][0]["cells"][0]["repetitions"][0]
    assert figures["prompt_tokens"] == pytest.approx(300, rel=0.01)


def test_no_two_prompts_begin_alike_but_for_the_shared_prefix() -> None:
    options = (*SMALL, "--concurrency", "2", "--requests", "6")
    with ScriptedServer(answer_as_asked) as server:
        assert bench("http", server.url, *options).exit_code == 0
        own = [body["prompt"].split() for body in server.bodies[1:]]
        assert len({tuple(words[:8]) for words in own}) == len(own)
        server.bodies.clear()
        assert bench("http", server.url, *options, "--shared-prefix", "16").exit_code == 0
        shared = [body["prompt"].split() for body in server.bodies[1:]]
        assert len({tuple(words[:16]) for words in shared}) == 1
        assert len({tuple(words[16:]) for words in shared}) == len(shared)


def test_compare_takes_turns_and_shows_the_ratio_of_the_second_to_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def script(name: str, tokens: int) -> Any:
        def answer(_: int, body: dict[str, Any], reply: Reply) -> None:
            order.append(name)
            wanted = min(tokens, body["max_tokens"])
            reply.stream(wanted, prompt_tokens=len(body["prompt"].split()))

        return answer

    file = tmp_path / "result.json"
    options = (*SMALL, "--concurrency", "1", "--requests", "3", "--json", str(file))
    with ScriptedServer(script("A", 8)) as one, ScriptedServer(script("B", 4)) as other:
        result = bench("compare", one.url, other.url, *options)
    assert result.exit_code == 0, result.output
    assert re.sub(r"(.)\1+", r"\1", "".join(order[-12:])) == "ABAB"
    assert [line.split()[0] for line in result.stdout.splitlines()[2:4]] == ["A", "B"]
    assert re.search(r"B / A +\d+\.\d\d \(\d", result.stdout)
    assert "B: 1 stream: 6 answers were not 8 tokens long" in result.stdout
    assert [server["url"] for server in read(file)["servers"]] == [one.url, other.url]
