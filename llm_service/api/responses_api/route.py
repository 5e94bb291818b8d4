"""POST /v1/responses."""

import asyncio
from functools import partial

from fastapi import APIRouter
from starlette.responses import Response

from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.responses_api.answer import ResponsesFormat
from llm_service.api.responses_api.request import ResponsesRequest
from llm_service.api.responses_api.schema import ResponseOut
from llm_service.api.responses_api.translate import translate

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/responses", response_model=ResponseOut)
async def create_response(body: ResponsesRequest, inference: InferenceDep) -> Response:
    """Answer a conversation in OpenAI's Responses format. Answers are not stored."""
    model = inference.resolve(body)
    translation, chat = await asyncio.to_thread(translate, body)
    wire_format = partial(ResponsesFormat, body=body, info=model.info)
    with translation.own_names():
        response = await inference.answer_chat(chat, model, wire_format)
    return translation.report_skipped(response)
