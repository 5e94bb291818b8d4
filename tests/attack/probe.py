"""Asks a service for its health all the time, in a process of its own.

The attacker holds its interpreter's lock while it builds what it sends, which must not delay the
probe. A module of its own, because a spawned process imports what it runs.
"""

import multiprocessing
import time
from multiprocessing.connection import Connection

from tests.attack import attacker
from tests.attack.attacker import Address

EVERY_SECONDS = 0.02
ANSWER_SECONDS = 10
_SPAWN = multiprocessing.get_context("spawn")


class Prober:
    """Probes until `end`, about 50 times a second, each time on a new connection."""

    def __init__(self, address: Address) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_probe, args=(address, theirs), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process shows here
        self._connection.recv()  # it has begun

    def end(self) -> tuple[list[float], int]:
        """How many milliseconds each probe took, and how many failed."""
        self._connection.send("end")
        milliseconds, num_failed = self._connection.recv()
        self._process.join()
        return milliseconds, num_failed


def get(address: Address, path: str, timeout: float) -> str:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return attacker.send(address, head.encode(), timeout)


def _probe(address: Address, watch: Connection) -> None:
    milliseconds: list[float] = []
    num_failed = 0
    watch.send("begun")
    while not watch.poll(EVERY_SECONDS):
        started = time.perf_counter()
        try:
            is_well = attacker.status(get(address, "/healthz", ANSWER_SECONDS)) == "200"
        except OSError:
            is_well = False
        num_failed += not is_well
        milliseconds.append((time.perf_counter() - started) * 1000)
    watch.send((milliseconds, num_failed))
