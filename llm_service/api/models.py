"""GET /v1/models, POST /tokenize and /detokenize: what is served, and how it counts tokens."""

import asyncio

from fastapi import APIRouter

from llm_service.api.body import JsonRoute
from llm_service.api.dependencies import CurrentServices, InferenceKey, check_model
from llm_service.api.prompts import charged, chat_token_ids, text_token_ids
from llm_service.api.responses import DetokenizeOut, Model, ModelList, TokenizeOut
from llm_service.api.schemas import DetokenizeRequest, SamplingFields, TokenizeRequest
from llm_service.engine import Engine, EngineInfo
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
async def list_models(key: InferenceKey, services: CurrentServices) -> ModelList:
    return ModelList(data=[_model(services.engine.get(), services.started_at)])


@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, key: InferenceKey, services: CurrentServices) -> Model:
    engine = services.engine.get()
    check_model(engine, model_id)
    return _model(engine, services.started_at)


@router.post("/tokenize")
async def tokenize(
    body: TokenizeRequest, key: InferenceKey, services: CurrentServices
) -> TokenizeOut:
    engine = services.engine.get()
    check_model(engine, body.model)
    body.refuse_unsupported()
    services.log_unknown_fields(body.unknown_fields())
    if (body.prompt is None) == (body.messages is None):
        raise InvalidRequest("Send either prompt or messages.", param="prompt")
    async with charged(services, key, engine) as permit:
        token_ids = await _token_ids(engine, body)
        permit.settle(0)
    return TokenizeOut(
        tokens=token_ids, count=len(token_ids), max_model_len=engine.info.max_context
    )


@router.post("/detokenize")
async def detokenize(
    body: DetokenizeRequest, key: InferenceKey, services: CurrentServices
) -> DetokenizeOut:
    engine = services.engine.get()
    check_model(engine, body.model)
    body.refuse_unsupported()
    services.log_unknown_fields(body.unknown_fields())
    if any(token_id >= engine.info.vocab_size for token_id in body.tokens):
        raise InvalidRequest(f"Token ids must be below {engine.info.vocab_size}.", param="tokens")
    if len(body.tokens) > engine.info.max_context:
        raise ContextLengthExceeded.of_prompt(
            engine.info.max_context, len(body.tokens), param="tokens"
        )
    async with charged(services, key, engine) as permit:
        text = await asyncio.to_thread(engine.tokenizer.decode, body.tokens)
        permit.settle(0)
    return DetokenizeOut(prompt=text)


async def _token_ids(engine: Engine, body: TokenizeRequest) -> list[int]:
    if body.prompt is not None:
        return await text_token_ids(engine, body.prompt)
    messages = [message.to_template(i) for i, message in enumerate(body.messages or ())]
    return await chat_token_ids(engine, messages, add_generation_prompt=body.add_generation_prompt)


def _model(engine: Engine, created: float) -> Model:
    info = engine.info
    return Model(
        id=info.model_id,
        created=int(created),
        max_model_len=info.max_context,
        default_sampling=_default_sampling(info),
    )


def _default_sampling(info: EngineInfo) -> dict[str, float]:
    """What a request that states nothing is sampled with, by the code that samples it."""
    sampling = SamplingFields(model=info.model_id).sampling(
        dict(info.default_sampling), max_tokens=1, num_logprobs=None, vocab_size=info.vocab_size
    )
    return {name: getattr(sampling, name) for name in DEFAULT_SAMPLING_NAMES}
