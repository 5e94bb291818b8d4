"""GET /v1/models, POST /tokenize and /detokenize: what is served, and how it counts tokens."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from llm_service.api.dependencies import (
    AdmissionDep,
    FactsDep,
    ImagesDep,
    InferenceKey,
    ModelsDep,
    UnknownFieldsDep,
)
from llm_service.api.json_route import JsonRoute
from llm_service.api.model_list import Model, ModelList, model_list, model_out
from llm_service.api.prompts import Prompts, text_token_ids
from llm_service.api.responses import DetokenizeOut, TokenizeOut
from llm_service.api.schemas import DetokenizeRequest, TokenizeRequest
from llm_service.engine.served import ServedModel
from llm_service.errors import ContextLengthExceeded, InvalidRequest

MAX_LISTED = 1000

router = APIRouter(route_class=JsonRoute)


@router.get("/v1/models")
@router.get("/models")
async def list_models(
    key: InferenceKey,
    models: ModelsDep,
    facts: FactsDep,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = MAX_LISTED,
) -> ModelList:
    """List every name that a request may give: models first, then aliases."""
    models.resolve(None)  # raises: an empty list would look as if nothing were ever served
    return model_list(models.named(), facts.started_at, limit)


@router.get("/v1/models/{model_id:path}")
@router.get("/models/{model_id:path}")
async def get_model(model_id: str, key: InferenceKey, models: ModelsDep, facts: FactsDep) -> Model:
    return model_out(model_id, models.resolve(model_id), facts.started_at)


@router.post("/tokenize")
async def tokenize(
    body: TokenizeRequest,
    key: InferenceKey,
    models: ModelsDep,
    admission: AdmissionDep,
    unknown_fields: UnknownFieldsDep,
    images: ImagesDep,
) -> TokenizeOut:
    """Count tokens. An image counts as the tokens that it becomes, whose ids are all the same."""
    model = models.resolve(body.model)
    body.check_extra_fields(unknown_fields)
    if (body.prompt is None) == (body.messages is None):
        raise InvalidRequest("Send either prompt or messages.", param="prompt")
    async with admission.charged(key, model.info) as permit:
        token_ids = await _token_ids(model, body, Prompts(images, key.cache_salt))
        permit.settle(0)
    return TokenizeOut(tokens=token_ids, count=len(token_ids), max_model_len=model.info.max_context)


@router.post("/detokenize")
async def detokenize(
    body: DetokenizeRequest,
    key: InferenceKey,
    models: ModelsDep,
    admission: AdmissionDep,
    unknown_fields: UnknownFieldsDep,
) -> DetokenizeOut:
    model = models.resolve(body.model)
    body.check_extra_fields(unknown_fields)
    vocab_size, limit = model.info.vocab_size, model.info.max_context
    if any(token_id >= vocab_size for token_id in body.tokens):
        raise InvalidRequest(f"Token ids must be below {vocab_size}.", param="tokens")
    if len(body.tokens) > limit:
        raise ContextLengthExceeded.of_prompt(limit, len(body.tokens), param="tokens")
    async with admission.charged(key, model.info) as permit:
        text = await asyncio.to_thread(model.tokenizer.decode, body.tokens)
        permit.settle(0)
    return DetokenizeOut(prompt=text)


async def _token_ids(model: ServedModel, body: TokenizeRequest, prompts: Prompts) -> list[int]:
    if body.prompt is not None:
        return await text_token_ids(model, body.prompt)
    assert body.messages is not None
    prompt, _ = await prompts.of_chat(model, body, body.messages)
    return list(prompt.token_ids)
