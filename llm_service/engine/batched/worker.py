"""The engine's thread: takes sequences in, steps the core, restarts it when it fails.

Owns the thread, the inbox and the core's life. It knows no asyncio: what a step made
leaves through the `deliver` callback, once per step.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from llm_service.engine.batched.core import Core, Delivery
from llm_service.engine.batched.failures import failure_of
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.budget import Turn
from llm_service.engine.observer import EngineObserver
from llm_service.engine.request import FinishReason
from llm_service.errors import RequestCancelled, ServiceError, Unavailable

_STARTING = "starting"
_STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The core's queues after its last step."""

    num_running: int = 0
    num_waiting: int = 0
    kv_cache_used_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait before the n-th restart in a row. A run this long counts as healthy."""

    first_seconds: float = 0.5
    max_seconds: float = 30.0
    healthy_seconds: float = 60.0

    def delay(self, num_failures: int) -> float:
        return float(min(self.first_seconds * 2 ** (num_failures - 1), self.max_seconds))


def _build_nothing() -> Core:
    raise AssertionError("the engine has stopped")


class EngineWorker:
    """`submit`, `abort` and `stop` may be called from any thread and never wait for a step."""

    def __init__(
        self,
        build_core: Callable[[], Core],
        deliver: Callable[[list[Delivery]], None],
        observer: EngineObserver,
        backoff: Backoff,
        turn: Turn,
    ) -> None:
        """The core steps only while it has the `turn`, which engines on the same cores share."""
        self._build_core = build_core
        self._deliver = deliver
        self._observer = observer
        self._backoff = backoff
        self._turn = turn
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._started: Future[None] = Future()
        self._changed = threading.Condition()  # guards the four below
        self._submitted: list[Sequence] = []
        self._aborted: list[tuple[Sequence, float]] = []
        self._is_stopping = False
        self._reason = _STARTING
        # the engine thread's own
        self._live: set[Sequence] = set()
        self._num_failures = 0
        self._ready_since = self._restarts_at = time.monotonic()
        self.num_restarts = 0
        self.snapshot = Snapshot()
        self.last_progress = time.monotonic()

    @property
    def reason(self) -> str:
        """Why it takes no sequences now; empty: it does."""
        return self._reason

    def start(self) -> Future[None]:
        """Resolves when the core has stepped once, or with what kept it from that."""
        self._thread.start()
        return self._started

    def submit(self, sequences: list[Sequence]) -> None:
        with self._changed:
            if self._reason:
                raise self._not_ready()
            self._submitted += sequences
            self._changed.notify()

    def abort(self, sequence: Sequence) -> None:
        with self._changed:
            self._aborted.append((sequence, time.monotonic()))
            self._changed.notify()

    def stop(self) -> None:
        """After the step in progress, fail what is left and end the thread."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()

    def join(self) -> None:
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping:
            try:
                # no local name for the core: a failed one must be gone before the next is built
                self._serve(self._begin())
            except Exception as error:
                if not self._started.done():
                    self._started.set_exception(error)
                    return
                self._fail(error)
                self._wait_before_restart()
        self._close(_STOPPING, Unavailable("The service is stopping."))
        # It holds the weights, and something may hold this worker for as long as the process lives.
        self._build_core = _build_nothing

    def _begin(self) -> Core:
        core = self._build_core()
        with self._turn:
            core.warm_up()
        if self._started.done():
            self.num_restarts += 1
        self._ready_since = time.monotonic()
        self._set_reason("")
        if not self._started.done():
            self._started.set_result(None)
        return core

    def _serve(self, core: Core) -> None:
        """The thread's loop, until it is stopped or a step raises."""
        while self._take_in(core):
            if core.has_work:
                with self._turn:
                    result = core.step()
                self._note_progress(core)
                self._observer.step_finished(result.stats)
                self._send(result.deliveries)

    def _take_in(self, core: Core) -> bool:
        """Move the inbox into the core, waiting for something to do; False: stopping."""
        with self._changed:
            while not (self._submitted or self._aborted or self._is_stopping or core.has_work):
                core.check_is_idle()
                self._changed.wait()
            submitted, self._submitted = self._submitted, []
            aborted, self._aborted = self._aborted, []
            if self._is_stopping:
                self._live.update(submitted)
                return False
        self._live.update(submitted)
        for sequence in submitted:
            core.add(sequence)
        ended = self._cancel(core, aborted) + core.expire()
        if submitted or ended:
            self._note_progress(core)
            self._report_queues()
        # Last, so that whoever hears of the end finds the memory free.
        self._send(ended)
        return True

    def _cancel(self, core: Core, aborted: list[tuple[Sequence, float]]) -> list[Delivery]:
        cancelled = []
        for sequence, asked in aborted:
            if sequence in self._live:  # else it finished first
                self._live.remove(sequence)
                error = RequestCancelled("The request was cancelled.")
                phase = core.abort(sequence, error)
                self._observer.sequence_cancelled(phase, time.monotonic() - asked)
                cancelled.append(Delivery(sequence, error))
        return cancelled

    def _send(self, deliveries: list[Delivery]) -> None:
        self._live.difference_update(d.sequence for d in deliveries if d.is_last)
        if deliveries:
            self._deliver(deliveries)

    def _note_progress(self, core: Core) -> None:
        self.last_progress = time.monotonic()
        self.snapshot = Snapshot(core.num_running, core.num_waiting, core.kv_cache_used_bytes)

    def _report_queues(self) -> None:
        now = self.snapshot
        self._observer.queue_changed(now.num_running, now.num_waiting, now.kv_cache_used_bytes)

    def _fail(self, error: Exception) -> None:
        now = time.monotonic()
        if not self._reason and now - self._ready_since > self._backoff.healthy_seconds:
            self._num_failures = 0
        self._num_failures += 1
        self._restarts_at = now + self._backoff.delay(self._num_failures)
        # The error's own words may tell what only the operator should know: the observer has them.
        reason = f"the engine failed ({type(error).__name__}) and is restarting"
        self._observer.engine_failed(error)
        self._close(reason, failure_of(error))

    def _close(self, reason: str, error: ServiceError) -> None:
        """Take nothing more in, and end everything that is in flight with `error`."""
        self._set_reason(reason)
        with self._changed:
            self._live.update(self._submitted)
            self._submitted, self._aborted = [], []
        for sequence in self._live:
            sequence.finish(FinishReason.ABORT, error)
        self._send([Delivery(sequence, error) for sequence in self._live])
        self.snapshot = Snapshot()
        self._report_queues()

    def _set_reason(self, reason: str) -> None:
        with self._changed:
            self._reason = reason
        self._observer.ready_changed(not reason, reason)

    def _not_ready(self) -> Unavailable:
        seconds = max(1.0, self._restarts_at - time.monotonic())
        return Unavailable(f"The engine is not ready: {self._reason}.", retry_after=seconds)

    def _wait_before_restart(self) -> None:
        with self._changed:
            pause = self._restarts_at - time.monotonic()
            self._changed.wait_for(lambda: self._is_stopping, pause)
