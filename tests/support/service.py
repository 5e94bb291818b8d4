"""A real service on a real socket, in a thread of this process."""

import socket
import threading
from pathlib import Path
from typing import Any, Self

import httpx2 as httpx
from pydantic import SecretStr

from llm_service.app import create_app
from llm_service.cli.serve import Server
from llm_service.config import Settings
from llm_service.engine import Engine

ADMIN_KEY = "admin-key-for-tests-0123456789"
START_SECONDS = 300


class RunningService:
    """`with RunningService(tmp_path, max_waiting=1) as service:`; settings by their names."""

    def __init__(self, state_dir: Path, *, engine: Engine | None = None, **settings: Any) -> None:
        settings = {
            "port": 0,
            "state_dir": state_dir,
            "admin_key": SecretStr(ADMIN_KEY),
            "ip_rate_limit": "100000/minute",
            "default_rpm": 0,
            **settings,
        }
        self.settings = Settings(**settings)
        self.app = create_app(self.settings, engine=engine)
        self.server = _Server(self.app, self.settings)
        self._thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.server.is_up.wait(START_SECONDS), "the service did not start"
        assert self.server.exit_status == 0, "the model could not be loaded"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """As SIGTERM does: drain, then end."""
        self.server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()

    @property
    def engine(self) -> Any:
        """The engine of the model that requests without a name get; None while there is none."""
        model = self.app.state.services.models.default
        return None if model is None else model.engine

    @property
    def url(self) -> str:
        port = self.server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def client(self, key: str | None = ADMIN_KEY, **options: Any) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)

    def async_client(self, key: str = ADMIN_KEY) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=60
        )


class _Server(Server):
    """Says in events that it listens, and that loading is over, well or not."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_listening = threading.Event()
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_listening.set()

    async def _announce(self) -> None:
        try:
            await super()._announce()
        finally:
            self.is_up.set()
