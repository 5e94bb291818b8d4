"""Ollama's /api/embed and the older /api/embeddings: bodies, routes and answers."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, Tag
from starlette.responses import JSONResponse, Response

from llm_service.api.dependencies import ModelsDep, UnknownFieldsDep
from llm_service.api.embeddings import Vector, floats, respond
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.ollama.answers import nanoseconds
from llm_service.api.ollama.names import known_name
from llm_service.api.schemas import EmbeddingRequest, EndpointBody
from llm_service.api.wire import PositiveCount, Text, WireModel, by_shape, text_or_list
from llm_service.observability.record import RequestRecord

TO_THE_LONGEST = -1  # `truncate_prompt_tokens`: cut to what the model can read

router = APIRouter(route_class=JsonRoute)

Texts = Annotated[
    Annotated[Text, Tag("str")] | Annotated[list[Text], Field(fail_fast=True), Tag("list[]")],
    by_shape(text_or_list, "must be a string or a list of strings"),
]


class AnyOptions(WireModel):
    """No option has an effect on embeddings."""


class AsEmbedding(EmbeddingRequest):
    """A request for embeddings whose errors name the fields of `/api/embed`."""

    cut_param = "truncate"


class AsPromptEmbedding(AsEmbedding):
    """The prompt of `/api/embeddings` as a request for embeddings."""

    input_param = "prompt"


class OllamaEmbeddingBody(EndpointBody):
    """What the two routes have in common. As at Ollama, inputs are cut unless told otherwise."""

    model: Text
    truncate: bool = True
    dimensions: PositiveCount | None = None
    options: AnyOptions | None = None

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        if self.options is not None:
            yield "options.", "options.", self.options.model_extra or {}

    def common_fields(self) -> dict[str, Any]:
        return {
            "dimensions": self.dimensions,
            "truncate_prompt_tokens": TO_THE_LONGEST if self.truncate else None,
        }


class OllamaEmbedRequest(OllamaEmbeddingBody):
    """Without an input, it only asks for the model to be loaded."""

    endpoint = "ollama_embed"

    input: Texts = ""


class OllamaEmbeddingsRequest(OllamaEmbeddingBody):
    """Without a prompt, it only asks for the model to be loaded."""

    endpoint = "ollama_embeddings"

    prompt: Text = ""


class EmbedOut(BaseModel):
    """Durations are in nanoseconds."""

    model: str
    embeddings: list[list[float]]
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None


class OneEmbeddingOut(BaseModel):
    embedding: list[float]


@router.post("/api/embed", response_model=EmbedOut)
async def embed(
    body: OllamaEmbedRequest,
    request: Request,
    inference: InferenceDep,
    models: ModelsDep,
    unknown_fields: UnknownFieldsDep,
) -> Response:
    """Return the embedding of each input, in the order of the inputs."""
    body.check_extra_fields(unknown_fields)
    name = known_name(models, body.model)
    if not body.input:
        models.embedding(name)
        return JSONResponse({"model": body.model, "embeddings": []})
    asked = AsEmbedding(model=name, input=body.input, **body.common_fields())
    return await respond(request, inference, asked, partial(_several, body.model))


@router.post("/api/embeddings", response_model=OneEmbeddingOut)
async def embeddings(
    body: OllamaEmbeddingsRequest,
    request: Request,
    inference: InferenceDep,
    models: ModelsDep,
    unknown_fields: UnknownFieldsDep,
) -> Response:
    """Return the embedding of one text. `/api/embed` is the newer form."""
    body.check_extra_fields(unknown_fields)
    name = known_name(models, body.model)
    if not body.prompt:
        models.embedding(name)
        return JSONResponse({"embedding": []})
    asked = AsPromptEmbedding(model=name, input=body.prompt, **body.common_fields())
    return await respond(request, inference, asked, _single)


def _several(name: str, record: RequestRecord, vectors: Iterable[Vector]) -> bytes:
    """Write an `EmbedOut`. `name` is the model's name as the caller wrote it."""
    return b'{"model":%b,"embeddings":[%b],"total_duration":%d,%b}' % (
        json.dumps(name, ensure_ascii=False).encode(),
        b",".join(map(floats, vectors)),
        nanoseconds(time.time() - record.started_at),
        b'"load_duration":0,"prompt_eval_count":%d' % record.prompt_tokens,
    )


def _single(_record: RequestRecord, vectors: Iterable[Vector]) -> bytes:
    """Write a `OneEmbeddingOut`."""
    (vector,) = vectors
    return b'{"embedding":%b}' % floats(vector)
