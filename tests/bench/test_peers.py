"""Peers: found by name, started, watched, and gone when they should be."""

import asyncio
import re
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import versus
from benchmarks.measures import MEASURES
from benchmarks.peers import PEERS, PeerError, Server, find
from benchmarks.peers.base import Command
from benchmarks.peers.servers.streaming import Detokenizer
from llm_service.bench import load
from llm_service.bench.client import Endpoint
from llm_service.bench.load import Cell
from scripts.gpu_check.__main__ import PARTS

ROOT = Path(__file__).parent.parent.parent

# One token is one letter, and each comes from a thread of its own.
ECHO = """
import sys, threading
sys.path.insert(0, sys.argv[2])
from streaming import serve

class Echo:
    def encode(self, text):
        return list(text.encode())

    def submit(self, number, token_ids, max_tokens, emit):
        def work():
            for count in range(1, max_tokens + 1):
                emit("x", count, count == max_tokens)
        threading.Thread(target=work).start()

serve(Echo(), int(sys.argv[1]))
"""
# As ECHO, but long prompts are too much for it.
FRAIL = ECHO.replace("return list", "assert len(text) < 4000; return list")
# A server with a child that holds memory and would go on without it.
WITH_CHILD = (
    "import subprocess, sys\n"
    'child = \'import time; held = bytearray(64 << 20); held[::4096] = b"x" * (64 << 8)\\n'
    "time.sleep(600)'\n"
    "subprocess.Popen([sys.executable, '-c', child])\n" + ECHO
)


class ScriptedPeer:
    name = "scripted"
    version = "1"
    schemes = ("only",)

    def __init__(self, program: str) -> None:
        self._program = program

    def install(self) -> None:
        """Python is there."""

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        return checkpoint

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        streaming = str(ROOT / "benchmarks" / "peers" / "servers")
        return Command([sys.executable, "-c", self._program, str(port), streaming])


def test_many_streams_of_the_least_server_all_get_their_tokens(tmp_path: Path) -> None:
    async def measure(server: Server) -> load.Figures:
        target = await load.find_target(Endpoint.parse(server.url), server.model)
        return await load.run(target, Cell(16, 3, 40, 16), ["abc"] * 16, lambda: None)

    with Server(ScriptedPeer(ECHO), tmp_path, "only", threads=1) as server:
        figures = asyncio.run(measure(server))
    assert figures["completed"] == 16
    assert figures["output_tokens"] == 16 * 40
    assert figures["prompt_tokens"] == 3
    assert figures["other_lengths"] == 0


def test_a_server_that_ends_before_it_answers_is_told_with_its_last_words(tmp_path: Path) -> None:
    peer = ScriptedPeer("import sys; print('the wheel came off'); sys.exit(3)")
    with pytest.raises(PeerError, match=r"(?s)scripted ended with status 3:.*the wheel came off"):
        Server(peer, tmp_path, "only", threads=1).__enter__()


def test_a_server_takes_its_children_with_it_and_their_memory_was_counted(tmp_path: Path) -> None:
    with Server(ScriptedPeer(WITH_CHILD), tmp_path, "only", threads=1) as server:
        parent = psutil.Process(server.process.pid)
        family = [parent, *parent.children()]
        assert len(family) == 2
        assert server.memory.wait_for(64 * 2**20, seconds=30)
    assert psutil.wait_procs(family, timeout=30)[1] == []


def test_a_turn_takes_every_measure() -> None:
    peer = ScriptedPeer(ECHO)
    figures = versus.take_turn(peer, "only", Path("tiny"), threads=1, measures=list(MEASURES))
    assert figures.keys() == {*MEASURES, "machine"}
    assert all(figures[name]["value"] > 0 for name in MEASURES)
    assert figures["streams_16"]["completed"] == 16


def test_what_a_contender_cannot_do_is_told_and_the_rest_is_measured() -> None:
    measures = ["prefill_2048", "decode_1"]
    figures = versus.take_turn(ScriptedPeer(FRAIL), "only", Path("tiny"), 1, measures)
    assert "connection broke" in figures["prefill_2048"]["failed"]
    assert figures["decode_1"]["value"] > 0
    contenders = [{"name": "one", "scheme": "a"}, {"name": "other", "scheme": "b"}]
    good = figures | {"prefill_2048": {"value": 10.0}}
    turns = [{"contender": 0, "figures": good}, {"contender": 1, "figures": figures}]
    table = versus.table({"contenders": contenders, "turns": turns})
    assert "| prefill, 2,048 tokens, tok/s | 10 (10-10) | - | - |" in table


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nobody:q8_0", "No peer is called 'nobody'"),
        ("llama_cpp:int3", "llama_cpp serves bf16, q8_0, q4_0"),
        ("llama_cpp:q8_0,THREADS=1", "only llm_service takes settings"),
        ("llm_service:8bit,LLM_PREFIX_CACHE", "LLM_NAME=value"),
    ],
)
def test_a_contender_that_is_none_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(PeerError, match=words):
        find(text)


def test_settings_after_a_scheme_reach_the_service() -> None:
    peer, scheme = find("llm_service:8bit_loading,LLM_PREFIX_CACHE=false")
    environment = peer.command(Path("model"), scheme, 1, threads=2).environment
    assert environment["LLM_QUANTIZATION"] == "8bit"
    assert environment["LLM_PREFIX_CACHE"] == "false"
    assert environment["LLM_THREADS"] == "2"


def test_half_a_character_waits_for_its_other_half() -> None:
    halves = "é".encode()
    detokenizer = Detokenizer(lambda ids: bytes(ids).decode(errors="replace"))
    assert detokenizer.feed([halves[0]]) == ""
    assert detokenizer.feed([halves[1]]) == "é"
    assert detokenizer.feed([ord("x")]) == "x"


def test_a_record_is_named_after_what_it_compares() -> None:
    contenders = [
        {"name": "llm_service", "scheme": "8bit,LLM_PREFIX_CACHE=false"},
        {"name": "llama_cpp", "scheme": "q8_0"},
    ]
    name = versus.file_name({"checkpoint": "tiny", "contenders": contenders})
    assert re.fullmatch(r"[\w.-]+", name)
    assert name.startswith("tiny--llm_service-8bit")


def test_every_peer_measure_and_part_of_the_gpu_check_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| ((?:`\w+`(?:, )?)+) \|", text)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == {*PEERS, *MEASURES, *PARTS}
