"""The memory and the turn to compute that all engines of one process share."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from llm_service.machine import Machine


class Turn:
    """Lets one engine at a time compute, in the order in which the engines ask.

    Two engines that compute at the same time share the cores, and every OpenMP barrier of one
    then waits for the other. Together they would be slower than in turns.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()

    @property
    def is_wanted(self) -> bool:
        """Whether an engine waits for its turn."""
        return bool(self._waiting)

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
    """The memory that models take. One per process; callable from any thread."""

    def __init__(self, detect: Callable[[], Machine] = Machine.detect) -> None:
        self.turn = Turn()
        self._detect = detect
        self._at_first = detect().memory_available_bytes  # before any model
        self._taken: dict[str, int] = {}
        self._loading = threading.Lock()

    @property
    def taken(self) -> dict[str, int]:
        """Bytes of memory per model, including memory that the model has not touched yet."""
        return dict(self._taken)

    def machine(self) -> Machine:
        """Return the machine's current state; its available memory excludes all models' memory.

        The operating system counts only the used part of a KV cache, so the excluded memory is
        counted here.
        """
        machine = self._detect()
        left = max(0, self._at_first - sum(self._taken.values()))
        return replace(machine, memory_available_bytes=min(left, machine.memory_available_bytes))

    @contextmanager
    def loading(self) -> Iterator[Machine]:
        """Plan and load one model at a time, with the memory that earlier models have left."""
        with self._loading:
            yield self.machine()

    def take(self, name: str, num_bytes: int) -> None:
        """Count `num_bytes` for the model. Raises ValueError if the name is in use."""
        if name in self._taken:
            raise ValueError(f"A model is loaded as {name!r} already.")
        self._taken[name] = num_bytes

    def give_back(self, name: str) -> None:
        """Stop counting the model's memory. Has no effect for an unknown name."""
        self._taken.pop(name, None)
