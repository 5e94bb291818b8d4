"""POST /v1/embeddings: one vector for each input. `respond` serves Ollama's routes as well."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from llm_service.api.disconnect import unless_client_leaves
from llm_service.api.embedding_inputs import read_inputs
from llm_service.api.generation import Generation
from llm_service.api.inference import Inference, InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.responses import JSON, EmbeddingList
from llm_service.api.schemas import EmbeddingRequest
from llm_service.api.sse import answer_headers
from llm_service.observability.record import RequestRecord

Vector = NDArray[np.float32]

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/embeddings", response_model=EmbeddingList)
async def create_embeddings(
    body: EmbeddingRequest, request: Request, inference: InferenceDep
) -> Response:
    """Return the embedding of each input, in the order of the inputs."""
    return await respond(request, inference, body, partial(_content, body))


async def respond(
    request: Request,
    inference: Inference,
    body: EmbeddingRequest,
    write: Callable[[RequestRecord, Iterable[Vector]], bytes],
) -> Response:
    """Compute the embeddings that `body` asks for, and answer with the JSON that `write` makes."""
    generation = await inference.embed(body, read_inputs)
    try:
        await unless_client_leaves(request, _run(generation))
        vectors = _vectors(generation, body.dimensions)
        # In a thread, because thousands of vectors are tens of megabytes of JSON.
        content = await asyncio.to_thread(write, generation.record, vectors)
        generation.close()
    except BaseException as error:
        generation.close(error)
        raise
    return Response(content, media_type=JSON, headers=answer_headers(generation))


async def _run(generation: Generation) -> None:
    while await generation.next_event() is not None:
        pass


def _vectors(generation: Generation, dimensions: int | None) -> Iterable[Vector]:
    for choice in generation.choices:
        vector = np.frombuffer(choice.embedding, dtype="<f4")
        yield vector if dimensions is None else _shortened(vector, dimensions)


def _content(body: EmbeddingRequest, record: RequestRecord, vectors: Iterable[Vector]) -> bytes:
    """Write an `EmbeddingList`. Each vector is written by itself.

    One call for all of them would hold the interpreter's lock for seconds.
    """
    write = _base64 if body.encoding_format == "base64" else floats
    items = (
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, write(vector))
        for index, vector in enumerate(vectors)
    )
    usage = {"prompt_tokens": record.prompt_tokens, "total_tokens": record.prompt_tokens}
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (
        b",".join(items),
        json.dumps(record.model, ensure_ascii=False).encode(),
        json.dumps(usage).encode(),
    )


def floats(vector: Vector) -> bytes:
    """Write `vector` as a JSON array."""
    # Nine digits are enough to read the same float32 again.
    return f"[{','.join(map('%.9g'.__mod__, vector.tolist()))}]".encode()


def _shortened(vector: Vector, dimensions: int) -> Vector:
    """Return the first `dimensions` numbers, scaled to length 1 again."""
    cut = vector[:dimensions]
    length = float(np.linalg.norm(cut))
    return (cut / length if length else cut).astype("<f4")


def _base64(vector: Vector) -> bytes:
    return b'"%b"' % base64.b64encode(vector.tobytes())
