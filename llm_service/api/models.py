"""GET /v1/models, POST /tokenize and /detokenize: what is served, and how it counts tokens."""

import asyncio

from fastapi import APIRouter

from llm_service.api.dependencies import (
    AdmissionDep,
    FactsDep,
    InferenceKey,
    ModelsDep,
    UnknownFieldsDep,
)
from llm_service.api.json_route import JsonRoute
from llm_service.api.prompts import chat_token_ids, text_token_ids
from llm_service.api.responses import (
    Capabilities,
    DetokenizeOut,
    Model,
    ModelList,
    TokenizeOut,
    embedding_facts,
)
from llm_service.api.schemas import DetokenizeRequest, SamplingFields, TokenizeRequest
from llm_service.engine import ModelInfo
from llm_service.engine.served import ServedModel
from llm_service.errors import ContextLengthExceeded, InvalidRequest

DEFAULT_SAMPLING_NAMES = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)

router = APIRouter(route_class=JsonRoute)


@router.get("/v1/models")
async def list_models(key: InferenceKey, models: ModelsDep, facts: FactsDep) -> ModelList:
    models.resolve(None)  # raises: an empty list would look as if nothing were ever served
    return ModelList(data=[_model(model, facts.started_at) for model in models])


@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, key: InferenceKey, models: ModelsDep, facts: FactsDep) -> Model:
    return _model(models.resolve(model_id), facts.started_at)


@router.post("/tokenize")
async def tokenize(
    body: TokenizeRequest,
    key: InferenceKey,
    models: ModelsDep,
    admission: AdmissionDep,
    unknown_fields: UnknownFieldsDep,
) -> TokenizeOut:
    model = models.resolve(body.model)
    body.check_extra_fields(unknown_fields)
    if (body.prompt is None) == (body.messages is None):
        raise InvalidRequest("Send either prompt or messages.", param="prompt")
    async with admission.charged(key, model.info) as permit:
        token_ids = await _token_ids(model, body)
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


async def _token_ids(model: ServedModel, body: TokenizeRequest) -> list[int]:
    if body.prompt is not None:
        return await text_token_ids(model, body.prompt)
    assert body.messages is not None
    return await chat_token_ids(model, body.conversation(body.messages))


def _model(model: ServedModel, created: float) -> Model:
    info = model.info
    return Model(
        id=info.model_id,
        created=int(created),
        max_model_len=info.max_context,
        capabilities=Capabilities(
            format=model.format.name,
            tools=model.format.has_tools,
            reasoning=model.format.has_reasoning,
            structured_output=info.embedding is None,
        ),
        default_sampling=_default_sampling(info) if info.embedding is None else {},
        embedding=embedding_facts(info),
    )


def _default_sampling(info: ModelInfo) -> dict[str, float]:
    """Return the parameters of a request that sets none, made by the code that serves requests."""
    sampling = SamplingFields(model=info.model_id).sampling(
        dict(info.default_sampling), max_tokens=1, num_logprobs=None, vocab_size=info.vocab_size
    )
    return {name: getattr(sampling, name) for name in DEFAULT_SAMPLING_NAMES}
