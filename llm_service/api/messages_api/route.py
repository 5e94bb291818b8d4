"""POST /v1/messages and /v1/messages/count_tokens."""

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from llm_service.api.dependencies import AdmissionDep, InferenceKey
from llm_service.api.envelopes import MESSAGES_PATH
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.messages_api.answer import MessagesFormat
from llm_service.api.messages_api.request import CountTokensRequest, MessagesRequest
from llm_service.api.messages_api.schema import MessageOut, MessagesErrorEnvelope, TokenCount
from llm_service.api.messages_api.translate import translate

_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": MessagesErrorEnvelope} for code in (400, 401, 403, 404, 429, 503, "default")
}

router = APIRouter(route_class=JsonRoute, responses=_ERRORS)


@router.post(MESSAGES_PATH, response_model=MessageOut)
async def create_message(body: MessagesRequest, inference: InferenceDep) -> Response:
    """Answer a conversation in Anthropic's Messages format."""
    model = inference.resolve(body)
    translation, chat = await asyncio.to_thread(translate, body, sees=model.info.sees)
    wire_format = partial(MessagesFormat, body=body)
    with translation.own_names():
        response = await inference.answer_chat(chat, model, wire_format)
    return translation.report_skipped(response)


@router.post(f"{MESSAGES_PATH}/count_tokens", response_model=TokenCount)
async def count_tokens(
    body: CountTokensRequest, key: InferenceKey, inference: InferenceDep, admission: AdmissionDep
) -> Response:
    """Count the tokens of the prompt that the same body makes at /v1/messages."""
    model = inference.resolve(body)
    translation, chat = await asyncio.to_thread(translate, body, sees=model.info.sees)
    with translation.own_names():
        async with admission.charged(key, model.info) as permit:
            prompt, _ = await inference.prompts.of_chat(
                model, chat, chat.messages, param=chat.prompt_param
            )
            permit.settle(0)
    return translation.report_skipped(JSONResponse({"input_tokens": len(prompt)}))
