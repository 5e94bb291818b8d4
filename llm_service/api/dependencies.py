"""The dependencies of endpoints: the caller's key, and the parts of the service."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, cast

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
from llm_service.api.admission import Admission
from llm_service.api.body import Bodies
from llm_service.api.parameters import UnknownFieldLog
from llm_service.api.records import Recorder
from llm_service.api.running import RunningRequests
from llm_service.engine.served import Models
from llm_service.images.reader import ImageReader
from llm_service.observability.events import EventLog
from llm_service.observability.history import History
from llm_service.observability.metrics import Metrics
from llm_service.observability.prometheus import Prometheus
from llm_service.observability.run_file import RunFile

bearer = HTTPBearer(auto_error=False, description="A key made by `llm-service keys create`.")


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the service that do not change while it runs."""

    started_at: float  # wall clock
    max_body_bytes: int
    default_rpm: int
    serves_dashboard: bool
    max_reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """Every part that endpoints use, built by `app.create_app`; an endpoint asks for a few."""

    models: Models
    running: RunningRequests
    admission: Admission
    recorder: Recorder
    unknown_fields: UnknownFieldLog
    keys: KeyStore
    usage: UsageLog
    authenticator: Authenticator
    limiter: Limiter
    ip_guard: IpGuard
    refusals: RefusalBudget
    bodies: Bodies
    images: ImageReader
    cancellations: Cancellations
    metrics: Metrics
    history: History
    run_file: RunFile
    events: EventLog
    facts: Facts
    prometheus: Prometheus | None = None

    def locked_out_reason(self) -> str:
        """Return why no caller can use the model although it is ready; empty if a caller can."""
        if self.authenticator.requires_keys and not self.keys.has_static_inference_key:
            return self.keys.problem
        return ""

    def warnings(self) -> list[str]:
        """Return a sentence for each part that does not work now."""
        sentences = [self.usage.problem] if self.usage.problem else []
        if self.keys.problem:
            sentences.insert(0, f"{self.keys.problem} Stored keys do not work until it can be.")
        return sentences


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


def _part(name: str) -> Any:
    """A dependency that is one part of the services."""
    get = attrgetter(name)

    def part(request: Request) -> Any:
        return get(get_services(request))

    return Depends(part)


CurrentServices = Annotated[Services, Depends(get_services)]
ModelsDep = Annotated[Models, _part("models")]
RunningDep = Annotated[RunningRequests, _part("running")]
AdmissionDep = Annotated[Admission, _part("admission")]
UnknownFieldsDep = Annotated[UnknownFieldLog, _part("unknown_fields")]
CancellationsDep = Annotated[Cancellations, _part("cancellations")]
ImagesDep = Annotated[ImageReader, _part("images")]
MetricsDep = Annotated[Metrics, _part("metrics")]
EventsDep = Annotated[EventLog, _part("events")]
HistoryDep = Annotated[History, _part("history")]
FactsDep = Annotated[Facts, _part("facts")]
PrometheusDep = Annotated[Prometheus | None, _part("prometheus")]
CurrentKey = Annotated[ApiKey, Depends(get_key)]
InferenceKey = Annotated[ApiKey, Depends(scoped(Scope.INFERENCE))]
MetricsKey = Annotated[ApiKey, Depends(scoped(Scope.METRICS))]
AdminKey = Annotated[ApiKey, Depends(scoped(Scope.ADMIN))]
