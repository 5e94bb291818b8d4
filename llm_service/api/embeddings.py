"""POST /v1/embeddings: one vector for each input."""

import asyncio
import base64
import json
from collections.abc import Iterable

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from starlette.responses import Response

from llm_service.api.disconnect import unless_client_leaves
from llm_service.api.embedding_inputs import read_inputs
from llm_service.api.generation import Generation
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.responses import JSON, EmbeddingList
from llm_service.api.schemas import EmbeddingRequest
from llm_service.api.sse import answer_headers

Vector = NDArray[np.float32]

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/embeddings", response_model=EmbeddingList)
async def create_embeddings(
    body: EmbeddingRequest, request: Request, inference: InferenceDep
) -> Response:
    """Return the embedding of each input, in the order of the inputs."""
    generation = await inference.embed(body, read_inputs)
    try:
        await unless_client_leaves(request, _run(generation))
        # In a thread, because thousands of vectors are tens of megabytes of JSON.
        content = await asyncio.to_thread(_content, generation, body)
        generation.close()
    except BaseException as error:
        generation.close(error)
        raise
    return Response(content, media_type=JSON, headers=answer_headers(generation))


async def _run(generation: Generation) -> None:
    while await generation.next_event() is not None:
        pass


def _content(generation: Generation, body: EmbeddingRequest) -> bytes:
    """Write an `EmbeddingList`. Each vector is written by itself.

    One call for all of them would hold the interpreter's lock for seconds.
    """
    record = generation.record
    items = _items((choice.embedding for choice in generation.choices), body)
    usage = {"prompt_tokens": record.prompt_tokens, "total_tokens": record.prompt_tokens}
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (
        b",".join(items),
        json.dumps(record.model, ensure_ascii=False).encode(),
        json.dumps(usage).encode(),
    )


def _items(embeddings: Iterable[bytes], body: EmbeddingRequest) -> Iterable[bytes]:
    write = _base64 if body.encoding_format == "base64" else _floats
    for index, embedding in enumerate(embeddings):
        vector = np.frombuffer(embedding, dtype="<f4")
        if body.dimensions is not None:
            vector = _shortened(vector, body.dimensions)
        yield b'{"object":"embedding","index":%d,"embedding":%b}' % (index, write(vector))


def _shortened(vector: Vector, dimensions: int) -> Vector:
    """Return the first `dimensions` numbers, scaled to length 1 again."""
    cut = vector[:dimensions]
    length = float(np.linalg.norm(cut))
    return (cut / length if length else cut).astype("<f4")


def _floats(vector: Vector) -> bytes:
    # Nine digits are enough to read the same float32 again.
    return f"[{','.join(map('%.9g'.__mod__, vector.tolist()))}]".encode()


def _base64(vector: Vector) -> bytes:
    return b'"%b"' % base64.b64encode(vector.tobytes())
