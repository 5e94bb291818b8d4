"""`llm-service serve`: runs the service, and prints how to use it once it is ready.

Owns the process: signals, draining, the exit status. The banner is printed to standard output and
not logged, because the log must never contain a key.
"""

import asyncio
import gc
import json
import signal
import socket
import sys
from types import FrameType
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI

from llm_service import __version__
from llm_service.api.connections import Connections
from llm_service.api.dependencies import Services
from llm_service.api.protocol import HttpBounds, protocol_factory
from llm_service.app import create_app
from llm_service.config import Settings, words_of
from llm_service.engine import ModelInfo
from llm_service.observability.logging import configure_logging

# Seconds beyond the drain in which uvicorn sends the last error events.
SHUTDOWN_MARGIN_SECONDS = 5


def serve() -> None:
    """Start the service; settings come from LLM_* in the environment (docs/settings.md)."""
    gc.disable()  # importing torch and transformers creates a million objects and no garbage
    try:
        settings = Settings()
        configure_logging(settings.log_level, settings.log_format)
        app = create_app(settings)
    except ValueError as error:
        for sentence in words_of(error):
            typer.echo(f"llm-service: {sentence}", err=True)
        raise typer.Exit(2) from None
    server = Server(app, settings)
    server.run()
    sys.exit(server.exit_status)


class Server(uvicorn.Server):
    """Uvicorn that prints the banner, stops when the model cannot load, and drains."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        self.connections = Connections(
            max_total=settings.max_connections,
            max_per_address=settings.max_connections_per_address,
            trusted_proxies=settings.trusted_proxies,
        )
        protocol: Any = protocol_factory(http_bounds(settings), self.connections)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # access/ reads those of LLM_TRUSTED_PROXIES
                http=protocol,
                ws="none",
                timeout_keep_alive=settings.idle_timeout_seconds,
                timeout_graceful_shutdown=int(settings.drain_seconds) + SHUTDOWN_MARGIN_SECONDS,
            )
        )
        self.exit_status = 0
        self._app = app
        self._settings = settings
        self._banner: asyncio.Task[None] | None = None
        self._num_signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hurried: list[asyncio.Task[None]] = []
        self._late_key: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._banner = asyncio.create_task(self._announce())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Uvicorn waits for open connections before it tells the app to stop. The engine must begin
        # to drain before that, or streams would be cut without an error event.
        self._drain = asyncio.create_task(self._app.state.runtime.drain())
        await super().shutdown(sockets)
        await asyncio.gather(self._drain, *self._hurried)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain. The second signal fails running requests; the third ends the process at once.

        Unlike uvicorn's handler, it does not raise the signal again at the end, because
        supervisors expect exit status 0 after a clean stop.
        """
        self._num_signals += 1
        if self._num_signals == 1:
            self._app.state.runtime.stopped_by = signal.Signals(sig).name
        self.should_exit = True
        if self._num_signals == 2 and self._loop is not None:
            self._loop.call_soon_threadsafe(self._hurry)
        elif self._num_signals > 1:
            self.exit_status = 1
            self.force_exit = True

    def _hurry(self) -> None:
        self._hurried.append(asyncio.create_task(self._app.state.runtime.drain(0)))

    async def _announce(self) -> None:
        try:
            await self._app.state.runtime.loaded
        except Exception as error:
            typer.echo(f"llm-service: {error}", err=True)
            self._tell_first_key()  # otherwise the key would never be shown
            self.exit_status = 1
            self.should_exit = True
            return
        # Objects that exist now will not be freed. Freezing them keeps later collections short,
        # which stop all threads.
        gc.collect()
        gc.freeze()
        gc.enable()
        port = self.servers[0].sockets[0].getsockname()[1]
        runtime = self._app.state.runtime
        typer.echo(
            banner(runtime.services, self._settings.host, port, runtime.new_admin_key), color=True
        )
        sys.stdout.flush()
        if not runtime.opening.is_open.is_set():
            self._late_key = asyncio.create_task(self._tell_late_key())

    async def _tell_late_key(self) -> None:
        """Print the first key, which is created late if the database failed at the start."""
        await self._app.state.runtime.opening.is_open.wait()
        self._tell_first_key()

    def _tell_first_key(self) -> None:
        if (key := self._app.state.runtime.new_admin_key) is not None:
            typer.echo(f"\n  Key        {key}  (the first one, shown only now)\n")
            sys.stdout.flush()


def http_bounds(settings: Settings) -> HttpBounds:
    return HttpBounds(
        max_header_bytes=settings.max_header_bytes,
        header_timeout_seconds=settings.header_timeout_seconds,
        write_timeout_seconds=settings.idle_timeout_seconds,
    )


def banner(services: Services, host: str, port: int, new_key: str | None) -> str:
    """Return the text that is printed at the start, with `new_key` if one was just created."""
    url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
    model = services.models.resolve(None)
    info = model.info
    where = "" if info.local is None else f"{info.local.dtype} on {info.local.device}, "
    route, question = _first_question(info)
    body = json.dumps({"model": info.model_id, **question})
    notes = [note for each in services.models for note in each.info.notes] + services.warnings()
    lines = [
        "",
        f"  llm_service {__version__}, {where}{info.engine} engine",
        *(f"  {each.summary}" for each in services.models),
        *(f"  Note       {note}" for note in notes),
        "",
        *([f"  Dashboard  {url}/"] if services.facts.serves_dashboard else []),
        f"  API        {url}/v1",
        f"  Key        {new_key or _OLD_KEY}",
        "",
        f"  curl {url}{route} \\",
        f'    -H "Authorization: Bearer {new_key or "$LLM_KEY"}" \\',
        '    -H "Content-Type: application/json" \\',
        f"    -d '{body}'",
        "",
    ]
    return "\n".join(lines)


def _first_question(info: ModelInfo) -> tuple[str, dict[str, Any]]:
    """Return the route and the body of a first request, without the model's name."""
    if info.embedding is not None:
        return "/v1/embeddings", {"input": "What is 7 plus 5?"}
    messages = [{"role": "user", "content": "What is 7 plus 5?"}]
    return "/v1/chat/completions", {"messages": messages}


_OLD_KEY = "the one you have (`llm-service keys create` makes another, `keys rotate` replaces one)"
