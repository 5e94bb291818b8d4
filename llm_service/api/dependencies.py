"""What an endpoint may ask for by name: the services, the caller's key, the engine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, cast

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from llm_service.access.api_key import ApiKey, Scope
from llm_service.access.authentication import Authenticator, require
from llm_service.access.cancellation import Cancellations
from llm_service.access.ip_guard import IpGuard
from llm_service.access.keys import KeyStore
from llm_service.access.limits import Limiter
from llm_service.access.refusals import RefusalBudget
from llm_service.access.usage import UsageLog
from llm_service.engine import Engine
from llm_service.errors import ModelNotFound, NotLoaded
from llm_service.observability.history import History
from llm_service.observability.metrics import Metrics
from llm_service.observability.prometheus import Prometheus

if TYPE_CHECKING:
    from llm_service.api.body import Bodies
    from llm_service.api.generation import Generation

log = structlog.get_logger()

BUNDLED_MODEL = "pocket"
MAX_LOGGED_FIELDS = 200

bearer = HTTPBearer(auto_error=False, description="A key made by `llm-service keys create`.")


@dataclass(slots=True)
class EngineSlot:
    """Holds the engine once it is loaded; until then `reason` says why there is none."""

    engine: Engine | None = None
    reason: str = "The model is loading."

    def get(self) -> Engine:
        if self.engine is None:
            raise NotLoaded(self.reason, retry_after=2)
        return self.engine

    def not_ready_reason(self) -> str:
        """Empty when the engine takes requests and steps."""
        if self.engine is None:
            return self.reason
        status = self.engine.status()
        if status.is_ready and status.stalled_seconds > 30:
            return f"The engine has not finished a step for {status.stalled_seconds:.0f} s."
        return "" if status.is_ready else status.reason or "The engine is not ready."


@dataclass(slots=True)
class Services:
    """Everything that endpoints use, built by `app.create_app`."""

    engine: EngineSlot
    keys: KeyStore
    usage: UsageLog
    authenticator: Authenticator
    limiter: Limiter
    ip_guard: IpGuard
    refusals: RefusalBudget
    bodies: "Bodies"
    cancellations: Cancellations
    metrics: Metrics
    history: History
    started_at: float  # wall clock
    request_timeout_seconds: float
    max_body_bytes: int
    default_rpm: int
    max_choices_per_key: int | None  # None: by the engine's slots and queue
    serves_dashboard: bool
    prometheus: Prometheus | None = None
    logged_fields: set[str] = field(default_factory=set)
    # as an ordered set: requests that were admitted and have not ended, the oldest first
    running: "dict[Generation, None]" = field(default_factory=dict)

    def model_summary(self) -> str:
        """One honest line about the model that is served, for the page, the CLI and `GET /`."""
        if self.engine.engine is None:
            return ""
        info = self.engine.engine.info
        size = round(info.num_parameters / 1e6)
        if info.model_id == BUNDLED_MODEL:
            return (
                f"{info.model_id}: a {size} M-parameter demonstration model."
                " Set LLM_MODEL_ID to serve another."
            )
        return f"{info.model_id}: {size} M parameters, {info.dtype} on {info.device}."

    def locked_out_reason(self) -> str:
        """Why nobody can use the model though it is ready; empty when somebody can."""
        if self.authenticator.requires_keys and not self.keys.has_static_inference_key:
            return self.keys.problem
        return ""

    def warnings(self) -> list[str]:
        """What does not work now, a sentence each."""
        sentences = [self.usage.problem] if self.usage.problem else []
        if self.keys.problem:
            sentences.insert(0, f"{self.keys.problem} Stored keys do not work until it can be.")
        return sentences

    def choices_per_key(self, engine: Engine) -> int:
        """How many choices of one key may wait or run at once.

        By default one key can fill every slot and half of the queue, which leaves the other
        half to the others.
        """
        if self.max_choices_per_key is not None:
            return self.max_choices_per_key
        return engine.info.max_batch_size + engine.info.max_waiting // 2

    def log_unknown_fields(self, names: list[str]) -> None:
        """Once per name, so that a typo shows without flooding the log."""
        room = MAX_LOGGED_FIELDS - len(self.logged_fields)
        shortened = {name[:64] for name in names} - self.logged_fields
        if new := sorted(shortened)[:room]:
            self.logged_fields.update(new)
            log.warning("unknown request fields are ignored", fields=new)


def get_services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def get_key(
    request: Request,
    _: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
) -> ApiKey:
    """The key that `authentication.Authentication` found; the security scheme is for the schema."""
    return cast(ApiKey, request.scope["state"]["key"])


def scoped(scope: Scope) -> Callable[[ApiKey], ApiKey]:
    """A dependency that refuses keys without `scope`."""

    def check(key: Annotated[ApiKey, Depends(get_key)]) -> ApiKey:
        require(key, scope)
        return key

    return check


def check_model(engine: Engine, model: str | None) -> None:
    """Raise ModelNotFound, with the models there are, unless `model` is served here."""
    if model is not None and model != engine.info.model_id:
        raise ModelNotFound(
            f"The model {model[:100]!r} is not served here. Available: {engine.info.model_id}.",
            param="model",
        )


CurrentServices = Annotated[Services, Depends(get_services)]
CurrentKey = Annotated[ApiKey, Depends(get_key)]
InferenceKey = Annotated[ApiKey, Depends(scoped(Scope.INFERENCE))]
MetricsKey = Annotated[ApiKey, Depends(scoped(Scope.METRICS))]
AdminKey = Annotated[ApiKey, Depends(scoped(Scope.ADMIN))]
