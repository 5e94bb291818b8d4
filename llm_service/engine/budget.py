"""What the engines of one process share: the machine's memory and the turn to compute."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from llm_service.machine import Machine


class Turn:
    """Lets one engine at a time compute, in the order in which the engines ask.

    Two engines that compute at once share the same cores, and each OpenMP barrier of the one
    then waits for the other: together they are slower than in turns.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return
            called = threading.Event()
            self._waiting.append(called)
        self._wait(called)

    def _wait(self, called: threading.Event) -> None:
        called.wait()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # the turn passes on without becoming free
            else:
                self._is_taken = False


class Budget:
    """Made once per process. Its methods may be called from any thread."""

    def __init__(self, detect: Callable[[], Machine] = Machine.detect) -> None:
        self.turn = Turn()
        self._detect = detect
        self._at_first = detect().memory_available_bytes  # before any model
        self._taken: dict[str, int] = {}
        self._loading = threading.Lock()

    @property
    def taken(self) -> dict[str, int]:
        """Bytes of the machine's memory by model, including what the model has not yet touched."""
        return dict(self._taken)

    def machine(self) -> Machine:
        """Look at the machine now; `memory_available_bytes` is what no model has taken.

        The operating system counts a KV cache only as far as it was used.
        """
        machine = self._detect()
        left = max(0, self._at_first - sum(self._taken.values()))
        return replace(machine, memory_available_bytes=min(left, machine.memory_available_bytes))

    @contextmanager
    def loading(self) -> Iterator[Machine]:
        """One model at a time is planned and loaded, from what those before it have left."""
        with self._loading:
            yield self.machine()

    def take(self, name: str, num_bytes: int) -> None:
        """Count `num_bytes` for the model. Raises ValueError if there is one of that name."""
        if name in self._taken:
            raise ValueError(f"A model is loaded as {name!r} already.")
        self._taken[name] = num_bytes

    def give_back(self, name: str) -> None:
        """The model is gone; harmless if it has taken nothing."""
        self._taken.pop(name, None)
