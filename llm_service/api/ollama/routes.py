"""Ollama's routes: /api/chat, /api/generate, /api/tags, /api/ps, /api/show and /api/version.

`embed` has those for embeddings. All take the one way of `Inference`, as all endpoints do, and
need a key, as all do.
"""

import re
from functools import partial
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from llm_service.api.completions import question
from llm_service.api.dependencies import FactsDep, InferenceKey, ModelsDep, UnknownFieldsDep
from llm_service.api.inference import Inference, InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.ollama.answers import (
    ChatOut,
    GenerateOut,
    OllamaFormat,
    OllamaGenerateFormat,
    head,
)
from llm_service.api.ollama.names import known_name
from llm_service.api.ollama.requests import (
    OllamaBody,
    OllamaChatRequest,
    OllamaGenerateRequest,
    ShowRequest,
)
from llm_service.api.responses import rfc3339
from llm_service.api.schemas import ChatCompletionRequest, CompletionRequest
from llm_service.engine.served import Models, ServedModel
from llm_service.errors import InvalidRequest

# The version of Ollama whose fields these routes have. Clients refuse to talk to older ones.
OLLAMA_VERSION = "0.12.6"

_HEAD = re.compile(r"(For[A-Z]\w*|Model)$")  # what a class of transformers' adds to a family

router = APIRouter(route_class=JsonRoute)


class VersionOut(BaseModel):
    version: str


class DetailsOut(BaseModel):
    parent_model: str = ""
    format: str = "safetensors"
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class TagOut(BaseModel):
    name: str
    model: str
    modified_at: str
    size: int  # bytes of the weights in memory
    digest: str
    details: DetailsOut


class TagsOut(BaseModel):
    models: list[TagOut]


class ShowOut(BaseModel):
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    modified_at: str
    details: DetailsOut
    model_info: dict[str, Any]
    capabilities: list[str]


@router.post("/api/chat", response_model=ChatOut)
async def chat(
    body: OllamaChatRequest,
    inference: InferenceDep,
    models: ModelsDep,
    unknown_fields: UnknownFieldsDep,
) -> Response:
    """Answer a conversation. Unless `stream` is false: lines of JSON."""
    body.check_extra_fields(unknown_fields)
    if body.is_empty:
        return _loaded(models, body, {"message": {"role": "assistant", "content": ""}})
    asked = _named(models, body.to_openai())
    return await _answer(inference, asked, partial(OllamaFormat, name=body.model))


@router.post("/api/generate", response_model=GenerateOut)
async def generate(
    body: OllamaGenerateRequest,
    inference: InferenceDep,
    models: ModelsDep,
    unknown_fields: UnknownFieldsDep,
) -> Response:
    """Answer one prompt. Unless `stream` is false: lines of JSON."""
    body.check_extra_fields(unknown_fields)
    if body.is_empty:
        return _loaded(models, body, {"response": ""})
    asked = _named(models, body.to_openai())
    return await _answer(inference, asked, partial(OllamaGenerateFormat, name=body.model))


@router.get("/api/tags")
@router.get("/api/ps")
async def tags(key: InferenceKey, models: ModelsDep, facts: FactsDep) -> TagsOut:
    """List the models. Every model is always loaded, so `/api/ps` lists the same."""
    models.resolve(None)
    named = models.named()
    return TagsOut(models=[_tag(name, model, facts.started_at) for name, model in named])


@router.post("/api/show")
async def show(body: ShowRequest, key: InferenceKey, models: ModelsDep, facts: FactsDep) -> ShowOut:
    """Describe one model."""
    name = body.model or body.name
    if name is None:
        raise InvalidRequest("model is required.", param="model")
    model = models.resolve(known_name(models, name))
    local = model.info.local
    family = _family(model)
    info: dict[str, Any] = {
        "general.architecture": family,
        f"{family}.context_length": model.info.max_context,
    }
    if local is not None:
        info["general.parameter_count"] = local.num_parameters
        info[f"{family}.embedding_length"] = local.hidden_size
    return ShowOut(
        modified_at=rfc3339(int(facts.started_at)),
        details=_details(model),
        model_info=info,
        capabilities=_capabilities(model),
    )


@router.get("/api/version")
async def version(key: InferenceKey) -> VersionOut:
    """Return the version of Ollama whose fields these routes have."""
    return VersionOut(version=OLLAMA_VERSION)


async def _answer(
    inference: Inference, asked: ChatCompletionRequest | CompletionRequest, wire_format: Any
) -> Response:
    model = inference.resolve(asked)
    if isinstance(asked, ChatCompletionRequest):
        return await inference.answer_chat(asked, model, wire_format)
    ask = partial(question, asked)
    return await inference.answer(asked, model, asked.prompts(), ask, wire_format)


def _loaded(models: Models, body: OllamaBody, part: dict[str, Any]) -> Response:
    """Answer a request without a prompt, which asks for the model to be loaded: it is."""
    models.resolve(known_name(models, body.model))
    return JSONResponse({**head(body.model), **part, "done": True, "done_reason": "load"})


def _named(models: Models, asked: Any) -> Any:
    """Return the request with the name under which the model is served."""
    return asked.model_copy(update={"model": known_name(models, asked.model)})


def _tag(name: str, model: ServedModel, started: float) -> TagOut:
    local = model.info.local
    return TagOut(
        name=name,
        model=name,
        modified_at=rfc3339(int(started)),
        size=0 if local is None else local.weights_bytes,
        digest="",
        details=_details(model),
    )


def _details(model: ServedModel) -> DetailsOut:
    local = model.info.local
    size, level = ("", "") if local is None else (_size(local.num_parameters), _level(local))
    family = _family(model)
    return DetailsOut(
        family=family, families=[family], parameter_size=size, quantization_level=level
    )


def _family(model: ServedModel) -> str:
    local = model.info.local
    return "unknown" if local is None else _HEAD.sub("", local.architecture).lower()


def _capabilities(model: ServedModel) -> list[str]:
    if model.makes_embeddings:
        return ["embedding"]
    has = {
        "completion": True,
        "insert": model.tokenizer.infill is not None,
        "tools": model.format.has_tools,
        "thinking": model.format.has_reasoning,
        "vision": model.info.sees,
    }
    return [name for name, is_offered in has.items() if is_offered]


def _size(num_parameters: int) -> str:
    if num_parameters >= 1e9:
        return f"{num_parameters / 1e9:.1f}B"
    return f"{num_parameters / 1e6:.1f}M"


def _level(local: Any) -> str:
    return str(local.dtype if local.quantization == "none" else local.quantization)
