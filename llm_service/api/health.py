"""The open routes: is the process alive, does the engine serve, and what is this."""

from fastapi import APIRouter
from starlette.responses import JSONResponse

from llm_service import __version__
from llm_service.api.dependencies import CurrentServices, Services
from llm_service.engine import ModelInfo

router = APIRouter()

HERE = "this address, in a browser"
# The service cannot see a proxy in front of it, so the text covers both cases.
ELSEWHERE = (
    "not in this process: behind nginx, as in the compose stack, it is this address in a browser;"
    " without nginx, `make dashboard` builds it and the next start serves it"
)


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def liveness() -> dict[str, str]:
    """Return 200 while the process lives, also if it cannot serve requests."""
    return {"status": "ok"}


@router.head("/health", include_in_schema=False)
@router.head("/readyz", include_in_schema=False)
@router.head("/api/health", include_in_schema=False)
@router.get("/health")
@router.get("/readyz")
@router.get("/api/health", include_in_schema=False)
async def readiness(services: CurrentServices) -> JSONResponse:
    """Return 200 only when the engine takes requests and steps; else 503 with the reason.

    `warnings` lists what does not work while the service still answers.
    """
    reason = services.models.not_ready_reason() or services.locked_out_reason()
    if reason:
        return JSONResponse(
            {"status": "unavailable", "reason": reason},
            status_code=503,
            headers={"Retry-After": "2"},
        )
    warnings = services.warnings()
    return JSONResponse({"status": "ok", **({"warnings": warnings} if warnings else {})})


def service_facts(services: Services) -> dict[str, object]:
    """The facts of `GET /` for clients other than browsers. The route is open: no secrets here."""
    model = services.models.default
    facts: dict[str, object] = {
        "service": "llm_service",
        "version": __version__,
        "api": "/v1",
        "dashboard": HERE if services.facts.serves_dashboard else ELSEWHERE,
        "requires_keys": services.authenticator.requires_keys,
        "status": services.models.not_ready_reason() or "ready",
    }
    if model is None:
        return facts
    info = model.info
    return {
        **facts,
        "model": info.model_id,
        "summary": model.summary,
        "engine": info.engine,
        **_where_it_is_computed(info),
        "limits": {
            "max_context": info.max_context,
            "max_batch_size": info.max_batch_size,
            "max_waiting": info.max_waiting,
            "max_body_bytes": services.facts.max_body_bytes,
            "default_rpm": services.facts.default_rpm,
        },
    }


def _where_it_is_computed(info: ModelInfo) -> dict[str, object]:
    local = info.local
    if local is None:
        return {}
    return {"device": local.device, "dtype": local.dtype, "quantization": local.quantization}
