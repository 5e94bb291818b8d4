"""The composition root: builds every part, hands each what it needs, and starts and stops them."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware

from llm_service import __version__
from llm_service.access.api_key import ApiKey
from llm_service.access.authentication import Authenticator
from llm_service.access.cancellation import Cancellations
from llm_service.access.ip_guard import IpGuard
from llm_service.access.keys import KeyStore
from llm_service.access.limits import Limiter
from llm_service.access.opening import Opening
from llm_service.access.redis import RedisLink
from llm_service.access.refusals import RefusalBudget
from llm_service.access.usage import UsageLog
from llm_service.api import (
    alerts,
    chat,
    completions,
    embeddings,
    events,
    generate,
    health,
    keys,
    models,
    now,
    requests,
    stats,
)
from llm_service.api import engine as engine_page
from llm_service.api.admission import Admission
from llm_service.api.authentication import OPEN_PATHS, Authentication
from llm_service.api.body import Bodies
from llm_service.api.dashboard import create_dashboard_router, dashboard_files
from llm_service.api.dependencies import Facts, Services
from llm_service.api.envelopes import envelope
from llm_service.api.handlers import install_handlers, record_early_end
from llm_service.api.leniency import Leniency
from llm_service.api.messages_api import route as messages
from llm_service.api.ollama import embed as ollama_embed
from llm_service.api.ollama import routes as ollama
from llm_service.api.parameters import UnknownFieldLog
from llm_service.api.records import Recorder
from llm_service.api.responses import ErrorEnvelope
from llm_service.api.responses_api import route as responses
from llm_service.api.running import RunningRequests
from llm_service.config import Settings, items, read_aliases
from llm_service.engine import Engine, GpuUse, ModelInfo
from llm_service.engine.budget import Budget
from llm_service.engine.config import EngineConfig
from llm_service.engine.observer import EngineObserver
from llm_service.engine.served import Models, ServedModel
from llm_service.images.fetching import Fetcher
from llm_service.images.limits import ImageLimits
from llm_service.images.reader import ImageReader
from llm_service.images.urls import UrlPolicy
from llm_service.machine import return_free_memory
from llm_service.observability.events import EngineEvents, EventLog
from llm_service.observability.history import KEPT_REQUESTS, History
from llm_service.observability.metrics import Metrics
from llm_service.observability.middleware import Observability
from llm_service.observability.prometheus import Prometheus
from llm_service.observability.run_file import CHECK_SECONDS, RunFile

log = structlog.get_logger()

# Health checks and scrapes: every few seconds, for ever.
QUIET_ROUTES = frozenset({"/health", "/healthz", "/readyz", "/api/health", "/metrics"})
CORS_METHODS = ("GET", "HEAD", "POST")
CORS_EXPOSED = (
    "Retry-After",
    "Server-Timing",
    "openai-processing-ms",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-request-id",
)
CORS_MAX_AGE_SECONDS = 600
DASHBOARD_DIR = Path(__file__).parent.parent / "dashboard" / "dist"


def create_app(settings: Settings, *, engine: Engine | None = None) -> FastAPI:
    """The whole service as an ASGI app.

    `engine` given (tests) is started instead of loading the one of the settings. Raises
    ValueError, in words and without secrets, where a setting is malformed.
    """
    files = dashboard_files(DASHBOARD_DIR)
    runtime = Runtime(settings, engine, serves_dashboard=bool(files))
    services = runtime.services
    app = FastAPI(
        title="llm_service",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=runtime.lifespan,
        redirect_slashes=False,
        responses={
            code: {"model": ErrorEnvelope} for code in (400, 401, 403, 404, 429, 503, "default")
        },
    )
    app.state.services = services
    app.state.runtime = runtime
    parts = (
        chat,
        completions,
        embeddings,
        responses,
        messages,
        generate,
        ollama,
        ollama_embed,
        models,
        health,
    )
    for part in parts:
        app.include_router(part.router)
    for part in (keys, requests, alerts, engine_page, stats, now, events):
        app.include_router(part.router)
    app.include_router(create_dashboard_router(files))
    install_handlers(app)
    # The last one added is the first to see a request.
    app.add_middleware(
        Authentication,
        authenticator=services.authenticator,
        ip_guard=services.ip_guard,
        open_paths=OPEN_PATHS,
        files=frozenset(files),
    )
    app.add_middleware(Leniency)
    app.add_middleware(
        Observability,
        metrics=services.metrics,
        quiet_routes=QUIET_ROUTES,
        on_crash=lambda scope, error: record_early_end(Request(scope), error),
        envelope=envelope,
    )
    if settings.cors_origins:
        # Outermost, so that answers to failures and refusals have its headers, too. No credentials:
        # keys come in a header that a page sets itself.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=items(settings.cors_origins),
            allow_methods=CORS_METHODS,
            allow_headers=["*"],
            expose_headers=CORS_EXPOSED,
            max_age=CORS_MAX_AGE_SECONDS,
        )
    return app


class Runtime:
    """Starts, drains and stops the parts of the app. `loaded` ends when the engine is ready."""

    def __init__(
        self, settings: Settings, engine: Engine | None, *, serves_dashboard: bool
    ) -> None:
        self._settings = settings
        self._given_engine = engine
        self.metrics = Metrics(read_gpu=_read_gpu)
        self.history = History(self.metrics)
        self.events = EventLog()
        self.link = (
            None
            if settings.redis_url is None
            else RedisLink(settings.redis_url.get_secret_value(), self.metrics)
        )
        self.prometheus = (
            None
            if settings.prometheus_url is None
            else Prometheus(settings.prometheus_url.get_secret_value())
        )
        self.keys = KeyStore.open(
            settings.state_dir,
            database_url=settings.database_url,
            admin_key=settings.admin_key,
            metrics_key=settings.metrics_key,
            api_keys=settings.api_keys,
            default_rpm=settings.default_rpm,
        )
        self.opening = Opening(self.keys, self._keys_found)
        self.metrics.watch_key_database(lambda: not self.keys.problem)
        self.usage = UsageLog(self.keys.database)
        self.models = Models(read_aliases(settings.model_aliases))
        self.budget = Budget()
        self.limiter = Limiter(self.link, self.metrics)
        recorder = Recorder(self.metrics, self.history, self.usage)
        self.running = RunningRequests(recorder, settings.request_timeout_seconds)
        self.run_file = RunFile(settings.state_dir)
        self.stopped_by = "a stop"  # or the signal's name
        self._draining_since: float | None = None
        self.services = Services(
            models=self.models,
            running=self.running,
            admission=Admission(self.limiter, settings.max_choices_per_key),
            recorder=recorder,
            unknown_fields=UnknownFieldLog(),
            keys=self.keys,
            usage=self.usage,
            authenticator=Authenticator(self.keys, self.usage, require_keys=settings.require_keys),
            limiter=self.limiter,
            ip_guard=IpGuard(
                settings.ip_rate_limit,
                link=self.link,
                trusted_proxies=settings.trusted_proxies,
                observer=self.metrics,
            ),
            refusals=RefusalBudget(self.metrics),
            bodies=Bodies(
                max_bytes=settings.max_body_bytes,
                max_total_bytes=settings.max_total_body_bytes,
                timeout_seconds=settings.body_timeout_seconds,
            ),
            images=ImageReader(
                ImageLimits(
                    max_images=settings.max_images,
                    max_bytes=int(settings.max_image_mb * 2**20),
                    max_pixels=settings.max_image_pixels,
                ),
                Fetcher(UrlPolicy.of(settings.image_urls)),
            ),
            cancellations=Cancellations(self.link),
            metrics=self.metrics,
            history=self.history,
            run_file=self.run_file,
            events=self.events,
            facts=Facts(
                started_at=time.time(),
                max_body_bytes=settings.max_body_bytes,
                default_rpm=settings.default_rpm,
                serves_dashboard=serves_dashboard,
                max_reasoning_tokens=settings.max_reasoning_tokens,
            ),
            prometheus=self.prometheus,
        )
        self.loaded: asyncio.Task[None]

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        self.events.add("start", f"The service started (version {__version__}).")
        opening = asyncio.create_task(self.opening.run())
        await self.opening.tried()
        if self.link is not None:
            await self.link.start()
        self.loaded = asyncio.create_task(self._load())
        background = [
            opening,
            asyncio.create_task(self.history.run()),
            asyncio.create_task(self._keep_run_file()),
            asyncio.create_task(self.metrics.watch_event_loop()),
            asyncio.create_task(self.usage.run()),
            asyncio.create_task(self.services.cancellations.run(self.running.cancel)),
        ]
        if self.link is not None:
            background.append(asyncio.create_task(self.link.watch()))
            background.append(asyncio.create_task(self.limiter.run()))
        try:
            yield
        finally:
            for task in (self.loaded, *background):
                task.cancel()
            await asyncio.gather(self.loaded, *background, return_exceptions=True)
            await self._stop_engines(0)
            await self.limiter.aclose()
            if self.link is not None:
                await self.link.aclose()
            if self.prometheus is not None:
                await asyncio.to_thread(self.prometheus.close)
            await self.usage.aclose()
            self.keys.close()
            await asyncio.to_thread(self.run_file.end, self.stopped_by, self._num_cut())

    async def drain(self, seconds: float | None = None) -> None:
        """Refuse new requests, let running ones finish for `seconds`, fail the rest.

        `seconds` is LLM_DRAIN_SECONDS if not given. A second call may shorten the first.
        """
        self.models.is_stopping = True
        self._draining_since = self._draining_since or time.time()
        self.events.add("drain", "The service drains: it refuses new requests and will stop.")
        await self._stop_engines(self._settings.drain_seconds if seconds is None else seconds)
        self.models.reason = "The service is stopping."

    async def _keep_run_file(self) -> None:
        """Keep the file of this run true until cancelled, and count what crashed runs have cut."""
        await asyncio.to_thread(self.run_file.begin)
        while True:
            for cut in self.run_file.take_cut():
                self.metrics.crash_found(cut)
            requests = [
                (each.record.model, each.record.operation, each.phase) for each in self.running
            ]
            if self.run_file.needs_renewal(requests):
                await asyncio.to_thread(self.run_file.renew, requests)
            await asyncio.sleep(CHECK_SECONDS)

    def _num_cut(self) -> int:
        """How many requests this stop has failed."""
        since = self._draining_since
        if since is None:
            return 0
        return sum(
            record.outcome == "error"
            and record.error_phase != "admission"
            and record.started_at + (record.duration_seconds or 0) >= since
            for record in self.history.recent_requests(KEPT_REQUESTS)
        )

    async def add_model(self, engine: Engine) -> ServedModel:
        """Start a loaded engine and serve its model, under the name that its info states.

        Raises ValueError, with the engine stopped, if a model of that name is served already.
        """
        try:
            await engine.start()
        except Exception:
            self.budget.give_back(engine.info.model_id)
            raise
        model = ServedModel.of(engine)
        try:
            self.models.add(model)
        except ValueError:
            await engine.stop(0)
            raise
        self.events.add("load", f"{engine.info.model_id} was loaded.")
        return model

    async def remove_model(self, name: str, drain_seconds: float = 0) -> None:
        """Serve the model no more: its requests get so long to finish, then they fail."""
        await self.models.remove(name).engine.stop(drain_seconds)
        self.metrics.model_removed(name)
        self.events.add("load", f"{name} was unloaded.")
        self.budget.give_back(name)
        await asyncio.to_thread(release_memory)

    async def _stop_engines(self, drain_seconds: float) -> None:
        await asyncio.gather(*(model.engine.stop(drain_seconds) for model in self.models))

    @property
    def new_admin_key(self) -> str | None:
        """The secret of the first admin key, if this start has made it."""
        return self.opening.new_admin_key

    def _keys_found(self, keys: Sequence[ApiKey]) -> None:
        for key in keys:
            self.metrics.key_added(key.name)

    async def _load(self) -> None:
        try:
            for engine in await self._engines():
                await self.add_model(engine)
            self.models.check_aliases()
        except Exception as error:
            self.models.reason = f"The model could not be loaded: {error}"
            self.models.has_failed = True
            self.stopped_by = "the model could not be loaded"
            self.events.add("load", "The model could not be loaded.")
            log.error("the model could not be loaded", error=str(error))
            raise

    async def _engines(self) -> list[Engine]:
        """Load the engines of the settings, the default one first."""
        configs = [self._settings.engine_config()]
        if (embedding := self._settings.embedding_engine_config()) is not None:
            configs.append(embedding)
        engines = []
        if self._given_engine is not None:
            self.metrics.of_model(self._given_engine.info)
            engines, configs = [self._given_engine], configs[1:]
        engines += [await asyncio.to_thread(self.load_engine, config) for config in configs]
        return engines

    def load_engine(self, config: EngineConfig) -> Engine:
        """An engine that reports to this service's metrics, not yet started. Takes seconds."""
        # torch and transformers take seconds to import; the port answers meanwhile.
        from llm_service.engine.loading.libraries import refuse_without_room

        refuse_without_room()
        from llm_service.engine.loading.factory import load_engine

        return load_engine(config, self._observe, self.budget, progress=lambda line: log.info(line))

    def _observe(self, info: ModelInfo) -> EngineObserver:
        return EngineEvents(self.metrics.of_model(info), info.model_id, self.events)


def release_memory() -> None:
    """Free all objects that nothing refers to, cycles of long-lived objects included.

    `gc.freeze` after the start keeps collections short, and would keep these cycles for ever.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    return_free_memory()


def _read_gpu() -> GpuUse:
    from llm_service.engine.gpu import gpu_use  # loads torch, as the engine on a GPU has done

    return gpu_use()
