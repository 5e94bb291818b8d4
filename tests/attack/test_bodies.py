"""A body costs no more than its bounds allow, whatever is in it; `make attack` is larger."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr, TypeAdapter

from llm_service.access.api_key import ApiKey, Scope
from llm_service.access.refusals import UNLIMITED_UNITS, RefusalBudget
from llm_service.api import body as body_module
from llm_service.api import structure
from llm_service.api.body import MAX_FIELDS
from llm_service.api.json_route import JsonRoute
from llm_service.api.structure import (
    MAX_BACKSLASHES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_NODES,
    MAX_VALUES,
    StructureCount,
)
from llm_service.errors import InvalidRequest, RateLimited
from tests.attack import attacker
from tests.attack.attacker import Address
from tests.attack.bodies import CHAT, COMPLETIONS, LARGEST, SHAPES, TEXTS, compressed
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

SIZE = 600_000
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("state"), engine=FakeEngine()) as service:
        yield service


def address_of(service: RunningService) -> Address:
    host, port = service.url.removeprefix("http://").split(":")
    return host, int(port)


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


@pytest.mark.parametrize("name", SHAPES)
def test_a_body_of_costly_structure_is_refused_in_a_sentence(
    target: RunningService, name: str
) -> None:
    path, body = SHAPES[name]
    with target.client() as http:
        response = http.post(path, content=body(SIZE), headers=JSON)
    assert response.status_code == 400
    assert 0 < len(error_of(response)["message"]) < 500


@pytest.mark.parametrize("name", [name for name in TEXTS if "tokenize" not in name])
def test_a_body_of_costly_text_is_refused_in_a_sentence(target: RunningService, name: str) -> None:
    path, body = TEXTS[name]
    with target.client() as http:
        response = http.post(path, content=body(SIZE), headers=JSON)
    assert response.status_code == 400
    assert len(error_of(response)["message"]) < 500


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_structure_within_the_bounds_is_parsed_and_validated(
    target: RunningService, name: str
) -> None:
    path, body = LARGEST[name]
    assert not refused(body(0))
    with target.client() as http:
        response = http.post(path, content=body(0), headers=JSON)
    # Too long for the fake engine's context, or served.
    code = None if response.is_success else error_of(response)["code"]
    assert code in (None, "context_length_exceeded"), response.text[:300]


def test_text_full_of_brackets_and_commas_is_text_and_not_structure(
    target: RunningService,
) -> None:
    prompt = '[{"a\\": 1, "b": [1,2]}]\\' * 20_000
    with target.client() as http:
        response = http.post(COMPLETIONS, json={"model": "pocket", "prompt": prompt})
    assert error_of(response)["code"] == "context_length_exceeded"


def counted(text: bytes, size: int) -> tuple[int, int, int, bool]:
    count = StructureCount()
    for start in range(0, len(text), size):
        count.feed(text[start : start + size])
    return count._num_values, count._num_nodes, count._depth, count._is_in_string


@pytest.mark.parametrize("size", range(1, 12))
def test_pieces_are_counted_as_the_whole_is_wherever_it_is_cut(size: int) -> None:
    document = {'a"b': ["\\", '\\"', "[", {"{": ","}], "é\n": [[1, 2], {}], "": '"'}
    text = json.dumps(document, ensure_ascii=False).encode()
    assert counted(text, size) == counted(text, len(text)) == (7, 10, 0, False)


def refused(text: bytes) -> bool:
    try:
        counted(text, structure.PIECE_BYTES)
    except InvalidRequest:
        return True
    return False


@pytest.mark.parametrize(
    ("fits", "is_too_much"),
    [
        (b"," * MAX_VALUES, b"," * (MAX_VALUES + 1)),
        (b"[]" * MAX_NODES, b"[]" * (MAX_NODES + 1)),
        (b'{"a":1}' * (MAX_NODES // 2), b'{"a":1}' * (MAX_NODES // 2) + b"{"),
        (b"[" * MAX_DEPTH, b"[" * (MAX_DEPTH + 1)),
        (b"[1" + b"0" * (MAX_DIGITS - 1) + b"]", b"[1" + b"0" * MAX_DIGITS + b"]"),
        (b'"' + b"\\n" * MAX_BACKSLASHES + b'"', b'"' + b"\\n" * (MAX_BACKSLASHES + 1) + b'"'),
        (b"1" * MAX_DIGITS + b'"' + b"1" * 999 + b'"', b" " * 32_700 + b"1" * (MAX_DIGITS + 1)),
    ],
    ids=["values", "containers", "members", "depth", "digits", "backslashes", "digits over pieces"],
)
def test_each_bound_of_structure_is_exact(fits: bytes, is_too_much: bytes) -> None:
    assert not refused(fits)
    assert refused(is_too_much)


def test_an_object_of_too_many_fields_is_refused_before_they_are_validated(
    target: RunningService,
) -> None:
    fields = {f"field{number}": 1 for number in range(MAX_FIELDS + 1)}
    with target.client() as http:
        assert str(MAX_FIELDS) in error_of(http.post("/api/keys", json=fields))["message"]


def all_routes(service: RunningService) -> Iterator[APIRoute]:
    for route in service.app.routes:
        if isinstance(route, APIRoute):
            yield route
        for child in getattr(getattr(route, "original_router", None), "routes", ()):
            assert isinstance(child, APIRoute)
            yield child


def test_every_route_that_takes_a_body_reads_it_within_bounds(target: RunningService) -> None:
    routes = [route for route in all_routes(target) if route.body_field is not None]
    assert len(routes) >= 6
    for route in routes:
        assert isinstance(route, JsonRoute), route.path


def has_no_wrong_items(schema: dict[str, Any]) -> bool:
    """Whether it is an object of any members, whose names are strings in all JSON."""
    names, values = schema.get("keys_schema", {}), schema.get("values_schema", {})
    return bool(names == {"type": "str"} and values == {"type": "any"})


def collections_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Every list, set, tuple and dict in a pydantic core schema that can have a wrong item."""
    if isinstance(schema, dict):
        is_collection = schema.get("type") in ("list", "set", "frozenset", "tuple", "dict")
        if is_collection and not has_no_wrong_items(schema):
            yield schema
        for name, child in schema.items():
            if name != "serialization":
                yield from collections_of(child)
    elif isinstance(schema, list | tuple):
        for child in schema:
            yield from collections_of(child)


def test_every_list_in_a_body_stops_at_its_first_error(target: RunningService) -> None:
    found = 0
    for route in all_routes(target):
        if route.body_field is None:
            continue
        annotation: Any = route.body_field.field_info.annotation
        body = TypeAdapter(annotation)
        for schema in collections_of(body.core_schema):
            found += 1
            assert schema.get("fail_fast"), f"{route.path}: {str(schema)[:200]}"
    assert found > 10


def test_a_compressed_body_is_415_and_never_inflated(target: RunningService) -> None:
    with target.client() as http:
        headers = {**JSON, "content-encoding": "gzip"}
        response = http.post(CHAT, content=compressed(10**6), headers=headers)
    assert response.status_code == 415
    assert error_of(response)["code"] == "unsupported_media_type"
    assert "uncompressed" in error_of(response)["message"]


def test_a_body_that_never_ends_is_408(tmp_path: Path) -> None:
    with RunningService(tmp_path, engine=FakeEngine(), body_timeout_seconds=0.2) as service:
        answer = attacker.send(address_of(service), attacker.half_body(ADMIN_KEY), 30)
    assert attacker.status(answer) == "408"
    assert '"code": "request_timeout"' in answer


def test_bodies_beyond_the_memory_for_all_are_503_until_others_end(tmp_path: Path) -> None:
    bound = 400_000
    with RunningService(
        tmp_path, engine=FakeEngine(), max_body_bytes=bound, max_total_body_bytes=bound
    ) as service:
        bodies = service.app.state.services.bodies
        half = attacker.request(CHAT, b" " * 380_000, ADMIN_KEY)[:-1000]
        with attacker.connected(address_of(service)) as holder, service.client() as http:
            holder.sendall(half)
            wait_until(lambda: bodies.num_held_bytes > 300_000)
            large = b" " * 200_000
            response = http.post(CHAT, content=large, headers=JSON)
            assert response.status_code == 503
            assert error_of(response)["code"] == "body_memory_full"
            assert response.headers["retry-after"] == "1"
            small = {"model": "pocket", "messages": [{"role": "user", "content": "Hi"}]}
            assert http.post(CHAT, json={**small, "max_tokens": 2}).status_code == 200
            holder.close()
            wait_until(lambda: bodies.num_held_bytes == 0)
            assert http.post(CHAT, content=large, headers=JSON).status_code == 400
        assert bodies.num_held_bytes == 0


def wait_until(condition: Any, seconds: float = 30) -> None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come true")


def key_of(rpm: int) -> ApiKey:
    scopes = frozenset({Scope.INFERENCE})
    return ApiKey("alice", scopes, rpm, "settings", cache_salt="", id="alice")


def test_refusals_cost_by_their_size_and_the_time_to_wait_is_true() -> None:
    now = 0.0
    budget = RefusalBudget(clock=lambda: now)
    key = key_of(rpm=60)
    for _ in range(59):
        budget.charge(key, 100)
    budget.check(key)
    budget.charge(key, 10 * 65_536)
    with pytest.raises(RateLimited, match="refused as wrong") as refusal:
        budget.check(key)
    assert refusal.value.retry_after is not None
    now += refusal.value.retry_after - 1
    with pytest.raises(RateLimited):
        budget.check(key)
    now += 1
    budget.check(key)


def test_a_refusal_never_costs_more_than_a_minute() -> None:
    budget = RefusalBudget(clock=lambda: 0.0)
    for _ in range(100):
        budget.charge(key_of(rpm=10), 4 * 2**20)
    with pytest.raises(RateLimited) as refusal:
        budget.check(key_of(rpm=10))
    assert refusal.value.retry_after is not None
    assert refusal.value.retry_after <= 61


def test_a_key_without_a_limit_has_a_large_budget_of_refusals_and_not_an_endless_one() -> None:
    budget = RefusalBudget(clock=lambda: 0.0)
    key = key_of(rpm=0)
    for _ in range(UNLIMITED_UNITS - 1):
        budget.charge(key, 100)
    budget.check(key)
    budget.charge(key, 100)
    with pytest.raises(RateLimited, match="refused as wrong"):
        budget.check(key)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[RunningService]:
    keys = {"api_keys": SecretStr("alice:alice-key-0123456789"), "default_rpm": 1}
    with RunningService(tmp_path, engine=FakeEngine(), **keys) as service:
        yield service


def test_a_key_whose_requests_are_refused_is_stopped_before_its_body_is_read(
    limited: RunningService,
) -> None:
    with limited.client("alice-key-0123456789") as http:
        wrong = [http.post(CHAT, content=b" " * 2**21, headers=JSON) for _ in range(2)]
        assert [answer.status_code for answer in wrong] == [400, 400]
    head = attacker.request(CHAT, b" " * 2**21, "alice-key-0123456789")[: -(2**21)]
    answer = attacker.send(address_of(limited), head)
    assert attacker.status(answer) == "429"
    assert "refused as wrong" in answer
    with limited.client() as http:  # others are not concerned
        assert http.get("/v1/models").status_code == 200


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_client_that_leaves_in_the_middle_of_its_body_is_charged_for_what_it_sent(
    limited: RunningService, framing: str
) -> None:
    bodies = limited.app.state.services.bodies
    body = b" " * (3 * 2**20)
    whole = attacker.request(CHAT, body, "alice-key-0123456789")
    if framing == "chunks":
        whole = attacker.chunked("alice-key-0123456789", b"%x\r\n%b" % (len(body) + 1, body))
    for _ in range(2):
        with attacker.connected(address_of(limited)) as connection:
            connection.sendall(whole[:-1])
            wait_until(lambda: bodies.num_held_bytes > 3_000_000)
        wait_until(lambda: bodies.num_held_bytes == 0)
    answer = attacker.send(address_of(limited), whole[: -len(body)])
    assert attacker.status(answer) == "429"
    assert "refused as wrong" in answer


def test_a_key_that_has_spent_its_limit_is_told_before_a_large_body_is_read(
    limited: RunningService,
) -> None:
    body = {"model": "pocket", "prompt": "Hi", "max_tokens": 1}
    with limited.client("alice-key-0123456789") as http:
        assert http.post(COMPLETIONS, json=body).status_code == 200
    head = attacker.request(CHAT, b" " * 2**20, "alice-key-0123456789")[: -(2**20)]
    answer = attacker.send(address_of(limited), head)
    assert attacker.status(answer) == "429"
    assert "requests per minute" in answer


def test_a_large_body_is_parsed_and_validated_off_the_event_loop(
    target: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse, is_on_loop = body_module._parse, list[bool]()

    def recorded(route: APIRoute, content: bytearray) -> Any:
        is_on_loop.append(asyncio._get_running_loop() is not None)
        return parse(route, content)

    monkeypatch.setattr(body_module, "_parse", recorded)
    with target.client() as http:
        for length in (1_000, 100_000):
            http.post(CHAT, json={"messages": [{"role": "user", "content": "x" * length}]})
    assert is_on_loop == [True, False]
