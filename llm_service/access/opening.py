"""Opens the key database at the start, and looks after it while it cannot be read.

The service starts without it: keys of the settings work, stored ones have to wait. Everything
is tried again with growing pauses, the first admin key included. It changes nothing of a file
that is not a database.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from llm_service.access.api_key import ApiKey
from llm_service.access.keys import KeyStore, KeyStoreUnavailable

FIRST_TRY_SECONDS = 10.0  # a database that hangs delays the start for no longer
MIN_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0

_log = logging.getLogger(__name__)


class Opening:
    """One per service. `report` is told all keys once the database has been opened."""

    def __init__(self, keys: KeyStore, report: Callable[[Sequence[ApiKey]], None]) -> None:
        self.new_admin_key: str | None = None  # told once it has been made
        self.is_open = asyncio.Event()
        self._keys = keys
        self._report = report
        self._is_tried = asyncio.Event()

    async def tried(self) -> None:
        """Wait until the first try is over, well or not, or takes too long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_tried.wait(), FIRST_TRY_SECONDS)

    async def run(self) -> None:
        """Open the database, then see that it can be read again whenever it cannot."""
        pause = MIN_PAUSE_SECONDS
        while True:
            if not self.is_open.is_set():
                await self._open()
            elif self._keys.problem:
                with suppress(KeyStoreUnavailable):
                    await asyncio.to_thread(self._keys.all_keys)
            is_well = self.is_open.is_set() and not self._keys.problem
            pause = MIN_PAUSE_SECONDS if is_well else min(2 * pause, MAX_PAUSE_SECONDS)
            self._is_tried.set()
            await asyncio.sleep(pause)

    async def _open(self) -> None:
        try:
            # To its end, however long it takes: a key that is made must be told.
            self.new_admin_key = await asyncio.to_thread(self._keys.bootstrap)
            keys = await asyncio.to_thread(self._keys.list_keys)
            conflicts = await asyncio.to_thread(self._keys.name_conflicts)
        except KeyStoreUnavailable:
            return  # the log has it
        for sentence in conflicts:
            _log.warning("%s", sentence)
        self._report(keys)
        self.is_open.set()
