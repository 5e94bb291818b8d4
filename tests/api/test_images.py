"""Images in requests of every protocol: the same pictures arrive, or a clear 400."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pytest
from PIL import Image
from structlog.testing import capture_logs

from llm_service.config import Settings
from llm_service.engine.picture import Picture
from tests.images.files import MAX_BYTES, MAX_PIXELS, bad_files, gradient, saved
from tests.support.fake_engine import INFO, PLACEHOLDER, TOKENS_PER_PICTURE, FakeEngine, FakeVision
from tests.support.service import RunningService

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
COUNT, OLLAMA, GENERATE = "/v1/messages/count_tokens", "/api/chat", "/api/generate"
RED = saved(Image.new("RGB", (3, 2), "red"), "PNG")
BLUE = saved(Image.new("RGB", (2, 3), "blue"), "WEBP", lossless=True)
BAD = bad_files()


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64_of(content)}"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose model sees, with small limits."""
    engine = FakeEngine()
    engine.info = replace(INFO, sees=True)
    engine.vision = FakeVision()
    with RunningService(
        tmp_path_factory.mktemp("seeing"),
        engine=engine,
        max_images=4,
        max_image_mb=MAX_BYTES / 2**20,
        max_image_pixels=MAX_PIXELS,
        image_urls="https",
    ) as service:
        yield service


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("blind"), engine=FakeEngine()) as service:
        yield service


@pytest.fixture
def placed(seeing: RunningService) -> list[Picture]:
    """The pictures that the engine has got since."""
    pictures: list[Picture] = seeing.engine.vision.placed
    pictures.clear()
    return pictures


def post(service: RunningService, path: str, body: dict[str, Any]) -> httpx.Response:
    with service.client() as http:
        return http.post(path, json=body)


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image_url(url: str, **more: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def block(content: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": base64_of(content)}
    return {"type": "image", "source": source}


def bodies(*images: bytes) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Requests with these images: by the way in, a path, a body and the name of the last image."""
    urls = [data_url(image) for image in images]
    named = [base64_of(image) for image in images]
    last = len(images) - 1
    chat = {"model": "pocket", "max_tokens": 2}
    called = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    inputs = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in urls]
    blocks = [block(image) for image in images]
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    used = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [use]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": blocks}],
        },
    ]
    spoken = {"role": "user", "content": "See"}
    ollama = {"model": "pocket", "stream": False, "options": {"num_predict": 2}}
    return {
        "chat": (
            CHAT,
            {**chat, "messages": user(text("See"), *map(image_url, urls))},
            f"messages.0.content.{last + 1}.image_url",
        ),
        "chat, the URL itself": (
            CHAT,
            {**chat, "messages": user(*({"type": "image_url", "image_url": url} for url in urls))},
            f"messages.0.content.{last}.image_url",
        ),
        "chat, images": (
            CHAT,
            {**chat, "messages": [{**spoken, "images": [f"![x]({url})" for url in urls]}]},
            f"messages.0.images.{last}",
        ),
        "tokenize": (
            "/tokenize",
            {"messages": user(text("See"), *map(image_url, urls))},
            f"messages.0.content.{last + 1}.image_url",
        ),
        "responses": (
            RESPONSES,
            {
                "model": "pocket",
                "max_output_tokens": 2,
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "See"}, *inputs]}
                ],
            },
            f"input.0.content.{last + 1}.image_url",
        ),
        "responses, an output": (
            RESPONSES,
            {
                "model": "pocket",
                "max_output_tokens": 2,
                "input": [
                    {"role": "user", "content": "Look."},
                    called,
                    {"type": "function_call_output", "call_id": "c", "output": inputs},
                ],
            },
            f"input.2.output.{last}.image_url",
        ),
        "messages": (
            MESSAGES,
            {**chat, "messages": user(text("See"), *blocks, text("and tell"))},
            f"messages.0.content.{last + 1}.source",
        ),
        "messages, a result": (
            MESSAGES,
            {**chat, "messages": used},
            f"messages.2.content.0.content.{last}.source",
        ),
        "count": (
            COUNT,
            {"model": "pocket", "messages": user(text("See"), *blocks)},
            f"messages.0.content.{last + 1}.source",
        ),
        "ollama": (
            OLLAMA,
            {**ollama, "messages": [{**spoken, "images": named}]},
            f"messages.0.images.{last}",
        ),
        "ollama, generate": (
            GENERATE,
            {**ollama, "system": "Be brief.", "prompt": "See", "images": named},
            f"images.{last}",
        ),
    }


WAYS = list(bodies(RED))


@pytest.mark.parametrize("way", WAYS)
def test_every_protocol_brings_the_same_pictures_in_order(
    seeing: RunningService, placed: list[Picture], way: str
) -> None:
    path, body, _ = bodies(RED, BLUE)[way]
    answer = post(seeing, path, body)
    assert answer.status_code == 200, answer.text
    assert [(each.width, each.height) for each in placed] == [(3, 2), (2, 3)]
    assert [each.pixels[:3] for each in placed] == [b"\xff\0\0", b"\0\0\xff"]
    assert "x-skipped" not in answer.headers
    assert seeing.app.state.services.images.num_held_bytes == 0


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_does_not_see_says_so_and_names_the_field(
    blind: RunningService, way: str
) -> None:
    path, body, param = bodies(RED)[way]
    answer = post(blind, path, body)
    if way == "messages, a result":  # Claude Code would send it again with every turn
        assert answer.status_code == 200
        assert answer.headers["x-skipped"] == "messages.2.content.0.content.0 (image)"
        return
    assert answer.status_code == 400, answer.text
    message = check_envelope(path, answer, param)
    assert "does not see images" in message
    assert param in message


def check_envelope(path: str, answer: httpx.Response, param: str) -> str:
    """Check that the error has its protocol's shape and names `param`; return its message."""
    error = answer.json()["error"]
    if path.startswith("/api/"):
        assert isinstance(error, str)
        return error
    if path.startswith(MESSAGES):
        assert answer.json()["type"] == "error"
        assert error["type"] == "invalid_request_error"
    else:
        assert error["param"] == param
        assert error["type"] == "invalid_request_error"
    return str(error["message"])


@pytest.mark.parametrize("way", WAYS)
def test_bad_images_get_a_400_that_names_them_in_the_envelope_of_their_route(
    seeing: RunningService, placed: list[Picture], way: str
) -> None:
    names = list(BAD) if way in ("chat", "messages", "responses", "ollama") else list(BAD)[::6]
    with seeing.client() as http:
        for name in names:
            path, body, param = bodies(RED, BAD[name])[way]
            answer = http.post(path, json=body)
            assert answer.status_code == 400, (name, answer.text)
            message = check_envelope(path, answer, param)
            assert message.startswith(f"{param} "), name
            seeing.app.state.services.refusals._levels.clear()  # all are one key's
    assert placed == []
    assert seeing.app.state.services.images.num_held_bytes == 0


def test_tokens_of_images_are_counted_in_the_usage_and_by_the_counting_routes(
    seeing: RunningService,
) -> None:
    parts = user(text("See"), image_url(data_url(RED)), image_url(data_url(BLUE)))
    body = {"model": "pocket", "max_tokens": 1, "messages": parts}
    usage = post(seeing, CHAT, body).json()["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == 2 * TOKENS_PER_PICTURE
    prompt_tokens = usage["prompt_tokens"]
    assert prompt_tokens == len("See\n") + 2 * TOKENS_PER_PICTURE
    assert post(seeing, "/tokenize", {"messages": parts}).json()["count"] == prompt_tokens
    claude = {"model": "pocket", "messages": user(text("See"), block(RED), block(BLUE))}
    assert post(seeing, COUNT, claude).json() == {"input_tokens": prompt_tokens}
    usage = post(seeing, MESSAGES, {**claude, "max_tokens": 1}).json()["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == prompt_tokens


def test_images_stand_where_the_caller_put_them(seeing: RunningService) -> None:
    one, two = image_url(data_url(RED)), image_url(data_url(BLUE))
    message = {"role": "user", "content": [text("a"), one, text("b"), two], "image": data_url(RED)}
    tokens = post(seeing, "/tokenize", {"messages": [message]}).json()["tokens"]
    picture = bytes([PLACEHOLDER]) * TOKENS_PER_PICTURE
    assert bytes(tokens) == picture + b"a" + picture + b"b" + picture + b"\n"
    blocks = user(text("a"), text("b"), block(RED), text("c"), text("d"))
    counted = post(seeing, COUNT, {"model": "pocket", "messages": blocks}).json()["input_tokens"]
    assert counted == len("a\nb") + TOKENS_PER_PICTURE + len("c\nd") + len("\n")


def test_detail_limits_the_pixels(seeing: RunningService, placed: list[Picture]) -> None:
    details = [{"detail": "low"}, {"detail": "auto"}, {}, {"detail": "high"}]
    parts = [image_url(data_url(RED), **detail) for detail in details]
    body = {"model": "pocket", "max_tokens": 1, "messages": user(*parts)}
    assert post(seeing, CHAT, body).status_code == 200
    assert [each.max_pixels for each in placed] == [512**2, 768**2, 768**2, None]
    refused = post(seeing, CHAT, {**body, "messages": user(image_url("x", detail="huge"))})
    assert refused.json()["error"]["param"] == "messages.0.content.0.image_url.detail"


def test_the_number_of_images_is_limited(seeing: RunningService) -> None:
    path, body, param = bodies(*[RED] * 5)["chat"]
    error = post(seeing, path, body).json()["error"]
    assert error["message"] == "The request has 5 images; 4 are allowed."
    assert error["param"] == param


def test_images_wait_for_no_memory_that_others_hold(seeing: RunningService) -> None:
    images = seeing.app.state.services.images
    path, body, _ = bodies(RED)["chat"]
    images.num_held_bytes += images.limits.max_held_bytes
    try:
        answer = post(seeing, path, body)
    finally:
        images.num_held_bytes -= images.limits.max_held_bytes
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "image_memory_full"
    assert answer.headers["retry-after"] == "1"
    assert post(seeing, path, body).status_code == 200


def test_images_of_one_request_have_a_limit_together(
    seeing: RunningService, placed: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = seeing.app.state.services.images.limits
    monkeypatch.setattr(type(limits), "max_held_bytes", 4_000_000)
    large = saved(gradient(1000), "JPEG")  # 3 MB decoded
    path, body, param = bodies(large, large)["chat"]
    error = post(seeing, path, body).json()["error"]
    assert "too large together" in error["message"]
    assert error["param"] == param
    assert placed == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/a.png", "not a plain host name"),
        ("https://localhost/a.png", "not on the public internet"),
        ("http://localhost/a.png", "another scheme"),
        ("file:///etc/passwd", "must be a data URL"),
        ("../etc/passwd", "not valid base64"),
        ("", "is empty"),
    ],
)
def test_a_url_that_may_not_be_fetched_is_refused(
    seeing: RunningService, url: str, words: str
) -> None:
    body = {"model": "pocket", "max_tokens": 1, "messages": user(image_url(url))}
    error = post(seeing, CHAT, body).json()["error"]
    assert words in error["message"]
    assert error["param"] == "messages.0.content.0.image_url"


def test_images_are_in_no_log_and_no_page(seeing: RunningService, blind: RunningService) -> None:
    secret = saved(gradient(24), "PNG")
    marks = (base64_of(secret)[20:60], "secret-place")
    with capture_logs() as lines:
        for service in (seeing, blind):
            for path, body, _ in bodies(secret).values():
                post(service, path, body)
            parts = user(image_url("https://localhost/secret-place.png"))
            post(service, CHAT, {"model": "pocket", "messages": parts})
    shown = [json.dumps(lines, default=repr)]
    for service in (seeing, blind):
        with service.client() as http:
            shown += [http.get(path).text for path in ("/metrics", "/api/requests", "/api/events")]
    assert len(lines) > 10
    assert not [mark for mark in marks for page in shown if mark in page]


def test_lists_of_models_say_whether_a_model_sees(
    seeing: RunningService, blind: RunningService
) -> None:
    for service, sees in ((seeing, True), (blind, False)):
        with service.client() as http:
            models = http.get("/v1/models").json()
            shown = http.post("/api/show", json={"model": "pocket"}).json()
        assert models["data"][0]["capabilities"]["vision"] is sees
        assert ("image" in models["models"][0]["input_modalities"]) is sees
        assert ("vision" in shown["capabilities"]) is sees


def test_raw_prompts_take_no_images(seeing: RunningService) -> None:
    body = {"model": "pocket", "prompt": "See", "raw": True, "images": [base64_of(RED)]}
    answer = post(seeing, GENERATE, body)
    assert answer.status_code == 400
    assert "images" in answer.json()["error"]


def test_a_body_has_room_for_the_largest_image() -> None:
    settings = Settings()
    in_base64 = settings.max_image_mb * 2**20 * 4 / 3
    assert settings.max_body_bytes > in_base64 + 2**20
