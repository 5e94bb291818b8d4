"""Every attack at full size against a service process of its own: `make attack`.

Only 127.0.0.1 is touched, and each attack is bounded in count and time. While one runs, `/healthz`
is asked over a new connection about fifty times a second, and the process's memory is read. The
output is a table, for people to judge: it also depends on what else the machine does.
"""

import argparse
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.attack import attacker, bodies
from tests.attack.attacker import Address, Crowd
from tests.attack.probe import Prober, get

KEY = "attack-key-0123456789"
MEGABYTE = 2**20
BODY_BYTES = 4 * MEGABYTE - 1000
KILL_BYTES = 3 * 2**30  # a service that grows beyond this is ended, so that the machine survives
ANSWER_SECONDS = 60
HELD_SECONDS = 40
# What is answered at once is sent again, one after the other, so that there is a time to watch.
REPEATS = 30
REPEAT_SECONDS = 2
NUM_DESCRIPTORS = 1024

Attack = Callable[[Address], str]


class Service:
    """`llm-service serve` from the checkout `source`, with `NUM_DESCRIPTORS` descriptors."""

    def __init__(self, source: Path, state: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address: Address = free.getsockname()[:2]
        environment = {name: value for name, value in os.environ.items() if name[:4] != "LLM_"}
        environment |= {
            "PYTHONPATH": str(source),
            "LLM_PORT": str(self.address[1]),
            "LLM_STATE_DIR": str(state),
            "LLM_ADMIN_KEY": KEY,
            "LLM_DEFAULT_RPM": "1000000",  # as many refusals, so that each attack is looked at
            "LLM_IP_RATE_LIMIT": "1000000/minute",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llm_service", "serve"],
            cwd=source,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=(state / "log").open("ab"),
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_NOFILE, (NUM_DESCRIPTORS, NUM_DESCRIPTORS)
            ),
        )
        self._wait()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def rss(self) -> int:
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and self.is_alive:
            try:
                if attacker.status(get(self.address, "/health", 5)) == "200":
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise SystemExit("The service did not start.")


@dataclass
class Watch:
    """Asks for health and reads memory until left."""

    service: Service
    milliseconds: list[float] = field(default_factory=list)
    num_failed: int = 0
    peak: int = 0

    def __enter__(self) -> "Watch":
        self._prober = Prober(self.service.address)
        self.before = self.peak = self.service.rss()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._measure)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.milliseconds, self.num_failed = self._prober.end()
        self._is_over.set()
        self._thread.join()

    def _measure(self) -> None:
        while not self._is_over.wait(0.01):
            self.peak = max(self.peak, self.service.rss())
            if self.peak > KILL_BYTES:
                self.service.process.kill()

    def cells(self) -> list[str]:
        times = sorted(self.milliseconds) or [float("nan")]
        last = len(times) - 1
        points = (times[last // 2], times[round(last * 0.99)], times[last])
        grown = (self.peak - self.before) / MEGABYTE
        return [*(f"{point:.0f}" for point in points), str(self.num_failed), f"{grown:.0f}"]


def attacks() -> dict[str, Attack]:
    found: dict[str, Attack] = {"none": _nothing}
    for name, (path, body) in (bodies.SHAPES | bodies.TEXTS).items():
        found[f"4 MB: {name}"] = _sent(attacker.request(path, body(BODY_BYTES), KEY))
    for name, (path, body) in bodies.LARGEST.items():
        found[name] = _sent(attacker.request(path, body(BODY_BYTES), KEY))
    bomb = bodies.compressed(200 * MEGABYTE)
    found["a gzip bomb of 200 MB"] = _sent(
        attacker.request(bodies.COMPLETIONS, bomb, KEY, "Content-Encoding: gzip")
    )
    no_key = attacker.request(bodies.CHAT, bytes(100 * MEGABYTE), None)
    found["100 MB of body without a key"] = _sent(no_key)
    found["a header of 120 MB"] = _sent(attacker.one_header(120 * MEGABYTE))
    found["100,000 headers"] = _sent(attacker.many_headers(100_000))
    found["a line of 10 MB"] = _sent(attacker.long_line(10 * MEGABYTE))
    for name, chunks in (
        ("4 million chunks of a byte", attacker.chunks_of_one(4_000_000)),
        ("a trailer of 100 MB", attacker.long_trailer(100 * MEGABYTE)),
        ("a chunk extension of 100 MB", attacker.long_extension(100 * MEGABYTE)),
    ):
        found[name] = _sent(attacker.chunked(KEY, chunks))
    found["20,000 pipelined requests"] = _sent(attacker.pipelined(20_000))
    found["40 bodies of 4 MB at once"] = _at_once
    found["1,500 half heads"] = _crowd(1500, attacker.half_head)
    found["600 silent sockets"] = _crowd(600, attacker.silence)
    found["200 half bodies"] = _crowd(200, attacker.half_body)
    return found


def _nothing(address: Address) -> str:
    time.sleep(5)
    return ""


def _said(address: Address, data: bytes) -> str:
    return attacker.status(attacker.send(address, data, ANSWER_SECONDS))


def _sent(data: bytes) -> Attack:
    return lambda address: _said(address, data)


def _at_once(address: Address) -> str:
    path, body = bodies.TEXTS["a string that does not end"]
    data = attacker.request(path, body(BODY_BYTES), KEY)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(_said(address, data))) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ", ".join(f"{answers.count(each)} x {each}" for each in sorted(set(answers)))


def _crowd(count: int, beginning: Callable[[str], bytes]) -> Attack:
    def attack(address: Address) -> str:
        with Crowd(address, count, beginning(KEY)) as crowd:
            time.sleep(HELD_SECONDS)
            return f"{crowd.num_open} open after {HELD_SECONDS} s"

    return attack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--only", default="", help="attacks whose name holds this")
    options = parser.parse_args()
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    print("| attack | answer | seconds | p50 ms | p99 ms | max ms | failed | memory MB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as state:
        service = Service(options.source, Path(state))
        for name, attack in attacks().items():
            if options.only not in name:
                continue
            started = time.perf_counter()
            with Watch(service) as watch:
                said = attack(service.address)
                for _ in range(REPEATS):
                    if time.perf_counter() - started > REPEAT_SECONDS or not service.is_alive:
                        break
                    said = attack(service.address)
            seconds = f"{time.perf_counter() - started:.1f}"
            if not service.is_alive:
                said += ", ended at 3 GB"
                service = Service(options.source, Path(state))
            print("|", " | ".join([name, said, seconds, *watch.cells()]), "|", flush=True)
        service.stop()


if __name__ == "__main__":
    main()
