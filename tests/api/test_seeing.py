"""Tiny models that see, from their folders to the callers: every protocol, with real features."""

import base64
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx
import pytest
from PIL import Image

from llm_service.engine import Picture
from tests.engine.models import EOS_TOKEN_IDS
from tests.engine.vision.families import (
    answer_of,
    conversation,
    inputs_of,
    picture,
    save_checkpoint,
    tokenizer_of,
)
from tests.support.service import RunningService

MAX_TOKENS = 8
FIRST, SECOND = picture(1), picture(2, 64, 48)


@dataclass(frozen=True)
class Seeing:
    """A service whose model is of the family `name`."""

    name: str
    service: RunningService

    @property
    def model(self) -> str:
        """Its name in the API."""
        return str(self.service.engine.info.model_id)

    def answer(self, *turns: Any) -> str:
        """What `generate` says to the turns."""
        found = answer_of(self.name, conversation(*turns), MAX_TOKENS)
        token_ids = list(found[:-1] if found[-1] in EOS_TOKEN_IDS else found)
        return str(tokenizer_of(self.name).decode(token_ids, skip_special_tokens=True))

    def num_prompt_tokens(self, *turns: Any) -> int:
        return inputs_of(self.name, conversation(*turns))["input_ids"].shape[1]


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen3_5"])
def seeing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seeing]:
    """One model is batched, one runs one request at a time."""
    folder = tmp_path_factory.mktemp(request.param)
    save_checkpoint(request.param, folder)
    with RunningService(
        tmp_path_factory.mktemp("state"), model_id=str(folder), dtype="float32", quantization="none"
    ) as service:
        yield Seeing(request.param, service)


def png(image: Picture) -> str:
    file = io.BytesIO()
    Image.frombytes("RGB", (image.width, image.height), image.pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def url(image: Picture) -> str:
    return f"data:image/png;base64,{png(image)}"


def part(content: str | Picture) -> dict[str, Any]:
    if isinstance(content, str):
        return {"type": "text", "text": content}
    return {"type": "image_url", "image_url": {"url": url(content)}}


def chat(http: httpx.Client, model: str, *turns: tuple[str | Picture, ...]) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [
        {"role": roles[i % 2], "content": [part(each) for each in turn]}
        for i, turn in enumerate(turns)
    ]
    body = {"model": model, "messages": messages, "max_tokens": MAX_TOKENS, "temperature": 0}
    response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def text_of(answer: dict[str, Any]) -> str:
    text: str = answer["choices"][0]["message"]["content"]
    return text


def test_a_chat_with_images_is_answered_as_by_generate(seeing: Seeing) -> None:
    turn = (FIRST, "and", SECOND, "differ?")
    with seeing.service.client() as http:
        answer = chat(http, seeing.model, turn)
        assert http.get("/v1/models").json()["data"][0]["capabilities"]["vision"] is True
        assert http.get("/api/engine").json()["model"]["encoder_dtype"] == "float32"
    assert text_of(answer) == seeing.answer(turn)
    usage = answer["usage"]
    assert usage["prompt_tokens"] == seeing.num_prompt_tokens(turn)
    assert 0 < usage["prompt_tokens_details"]["image_tokens"] < usage["prompt_tokens"]


def test_the_other_protocols_see_the_same(seeing: Seeing) -> None:
    turn = (FIRST, "what?")
    encoded = png(FIRST)
    source = {"type": "base64", "media_type": "image/png", "data": encoded}
    with seeing.service.client() as http:
        response = http.post(
            "/v1/responses",
            json={
                "model": seeing.model,
                "input": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "input_image", "image_url": url(FIRST)},
                            {"type": "input_text", "text": "what?"},
                        ],
                    }
                ],
                "max_output_tokens": MAX_TOKENS,
                "temperature": 0,
            },
        ).json()
        message = http.post(
            "/v1/messages",
            json={
                "model": seeing.model,
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "source": source},
                            {"type": "text", "text": "what?"},
                        ],
                    }
                ],
                "max_tokens": MAX_TOKENS,
                "temperature": 0,
            },
        ).json()
        ollama = http.post(
            "/api/chat",
            json={
                "model": seeing.model,
                "messages": [{"role": "user", "content": "what?", "images": [encoded]}],
                "options": {"num_predict": MAX_TOKENS, "temperature": 0},
                "stream": False,
            },
        ).json()
    expected = seeing.answer(turn)
    assert response["output"][0]["content"][0]["text"] == expected
    assert message["content"][0]["text"] == expected
    assert ollama["message"]["content"] == expected


def test_conversations_side_by_side_do_not_see_each_others_images(seeing: Seeing) -> None:
    turns = [(FIRST, "what?"), ("no image",), (SECOND, "what?"), ("what?", FIRST, SECOND)]
    with seeing.service.client() as http, ThreadPoolExecutor(len(turns)) as pool:
        answers = list(pool.map(lambda turn: text_of(chat(http, seeing.model, turn)), turns * 2))
    assert answers == [seeing.answer(turn) for turn in turns] * 2


def test_the_second_turn_of_a_conversation_still_sees_its_image(seeing: Seeing) -> None:
    turns = ((FIRST, "what is this picture of, in one word?"), ("a cat",), ("and why?",))
    with seeing.service.client() as http:
        chat(http, seeing.model, turns[0])
        answer = chat(http, seeing.model, *turns)
    assert text_of(answer) == seeing.answer(*turns)
    if seeing.service.engine.info.engine == "batched":
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_images_that_the_context_has_no_room_for_are_refused(seeing: Seeing) -> None:
    content = [part("x" * 400), *(part(FIRST) for _ in range(16))]
    with seeing.service.client() as http:
        body = {"model": seeing.model, "messages": [{"role": "user", "content": content}]}
        response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
