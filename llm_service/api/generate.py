"""POST /generate: an older form of completions, `{prompt}` or TGI's `{inputs, parameters}`."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from llm_service.api.choice import Choice
from llm_service.api.completions import CompletionFormat, question
from llm_service.api.dependencies import ModelsDep, UnknownFieldsDep
from llm_service.api.inference import InferenceDep
from llm_service.api.json_route import JsonRoute
from llm_service.api.responses import UsageOut
from llm_service.api.schemas import CompletionRequest, EndpointBody
from llm_service.api.wire import (
    FrequencyPenalty,
    PositiveCount,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    Text,
    TopK,
    TopP,
    WireModel,
)
from llm_service.errors import InvalidRequest

router = APIRouter(route_class=JsonRoute)
DEFAULT_TOKENS = 100  # as at TGI


class Parameters(WireModel):
    max_new_tokens: PositiveCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    repetition_penalty: RepetitionPenalty | None = None
    frequency_penalty: FrequencyPenalty | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    do_sample: bool | None = None
    return_full_text: bool = False

    def to_completion(self) -> dict[str, Any]:
        fields = self.model_dump(exclude_none=True, include=set(Parameters.model_fields))
        fields["max_tokens"] = fields.pop("max_new_tokens", None)
        fields["echo"] = fields.pop("return_full_text")
        if fields.pop("do_sample", None) is False:
            fields["temperature"] = 0.0
        return fields


class GenerateRequest(EndpointBody):
    """Either `prompt`, with the sampling parameters beside it, or `inputs` and `parameters`."""

    endpoint = "generate"

    model: Text | None = None
    prompt: Text | None = None
    inputs: Text | None = None
    max_tokens: PositiveCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    parameters: Parameters | None = None

    @property
    def is_tgi(self) -> bool:
        return self.inputs is not None

    def extra_fields(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        yield from super().extra_fields()
        if self.parameters is not None:
            yield "parameters.", "parameters.", self.parameters.model_extra or {}

    def to_completion(self, model: str) -> CompletionRequest:
        if (self.prompt is None) == (self.inputs is None):
            raise InvalidRequest("Send either prompt or inputs.", param="prompt")
        if self.parameters is not None and not self.is_tgi:
            raise InvalidRequest(
                "parameters belongs to inputs. Beside prompt, send its fields at the top level.",
                param="parameters",
            )
        if self.is_tgi:
            fields = (self.parameters or Parameters()).to_completion()
        else:
            names = {"max_tokens", "temperature", "top_p", "top_k", "seed", "stop"}
            fields = self.model_dump(exclude_none=True, include=names)
        fields = {name: value for name, value in fields.items() if value is not None}
        kind = AsTgi if self.is_tgi else AsPrompt
        return kind(model=self.model or model, prompt=self.prompt or self.inputs or "", **fields)


class AsPrompt(CompletionRequest):
    @property
    def most_tokens(self) -> int | None:
        return DEFAULT_TOKENS if self.max_tokens is None else None


class AsTgi(AsPrompt):
    prompt_param = "inputs"

    @property
    def tokens_param(self) -> str:
        return "parameters.max_new_tokens"


class GenerateOut(BaseModel):
    """`text` answers `prompt`, `generated_text` answers `inputs`; both are the same."""

    model: str
    text: str
    generated_text: str
    finish_reason: str
    usage: UsageOut


@router.post("/generate", response_model=GenerateOut)
async def generate(
    body: GenerateRequest,
    inference: InferenceDep,
    models: ModelsDep,
    unknown_fields: UnknownFieldsDep,
) -> Response:
    """Continue a text, without a chat template. The answer comes whole."""
    body.check_extra_fields(unknown_fields)
    asked = body.to_completion(models.resolve(body.model).info.model_id)
    model = inference.resolve(asked)
    ask = partial(question, asked)
    wire_format = partial(GenerateFormat, body=asked, info=model.info)
    return await inference.answer(asked, model, asked.prompts(), ask, wire_format)


class GenerateFormat(CompletionFormat):
    """A text answer of one choice, which always comes whole."""

    def whole(self, choices: list[Choice], usage: UsageOut) -> Mapping[str, Any]:
        (choice,) = choices
        return GenerateOut(
            model=self.head["model"],
            text=choice.text,
            generated_text=choice.text,
            finish_reason=choice.finish_reason or "",
            usage=usage,
        ).model_dump()
