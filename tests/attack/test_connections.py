"""A connection costs no more than its bounds allow. `make attack` has the full size."""

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_service.api import connections
from llm_service.api.connections import RESERVED_DESCRIPTORS, Connections
from llm_service.api.protocol import MAX_CHUNKS, MAX_DROPPED_BYTES
from tests.attack import attacker
from tests.attack.attacker import Crowd
from tests.attack.test_bodies import address_of, wait_until
from tests.support.fake_engine import FakeEngine
from tests.support.service import ADMIN_KEY, RunningService

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_HEALTH = HEALTH.replace(b"Host: x", b"Connection: close")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    state = tmp_path_factory.mktemp("state")
    with RunningService(state, engine=FakeEngine(), max_header_bytes=16_384) as service:
        yield service


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[RunningService]:
    """One that waits for nobody."""
    with RunningService(
        tmp_path, engine=FakeEngine(), header_timeout_seconds=0.3, idle_timeout_seconds=1
    ) as service:
        yield service


def error_of(answer: str) -> dict[str, Any]:
    head, _, body = answer.partition("\r\n\r\n")
    assert "content-type: application/json" in head.lower()
    assert "connection: close" in head.lower()
    assert "x-content-type-options: nosniff" in head.lower()
    error: dict[str, Any] = json.loads(body)["error"]
    return error


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (attacker.one_header(300_000), "431", "headers_too_large"),
        (attacker.one_header(5_000_000), "431", "headers_too_large"),
        (attacker.many_headers(101), "431", "headers_too_large"),
        (attacker.many_headers(50_000), "431", "headers_too_large"),
        (attacker.long_line(9_000), "414", "uri_too_long"),
        (attacker.long_line(1_000_000), "414", "uri_too_long"),
        (b"nonsense\r\n\r\n", "400", "invalid_request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400", "invalid_request"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "400", "invalid_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400", "invalid_request"),
    ],
    ids=[
        "a long header",
        "a very long header",
        "101 headers",
        "50,000 headers",
        "a long line",
        "a very long line",
        "nonsense",
        "no colon",
        "not ASCII",
        "TLS",
    ],
)
def test_a_head_that_is_too_large_or_malformed_is_refused_in_the_envelope(
    target: RunningService, data: bytes, status: str, code: str
) -> None:
    answer = attacker.send(address_of(target), data)
    assert attacker.status(answer) == status
    assert error_of(answer)["code"] == code


def test_a_long_head_that_does_not_end_is_refused_without_waiting_for_its_end(
    target: RunningService,
) -> None:
    with attacker.connected(address_of(target)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: " + b"x" * 17_000)
        assert attacker.status(attacker.answer(connection)) == "431"


def test_a_large_head_and_a_large_body_within_the_bounds_are_served(target: RunningService) -> None:
    with target.client() as http:
        headers = {"x-long": "x" * 15_000, "content-type": "application/json"}
        for _ in range(3):  # on one connection: what was counted of one request ends with it
            wrong = http.post("/v1/completions", content=b" " * 500_000, headers=headers)
            assert wrong.status_code == 400
            assert http.get("/v1/models", headers={"x-long": "x" * 15_000}).status_code == 200


@pytest.mark.parametrize("beginning", [attacker.half_head, attacker.silence])
def test_connections_that_send_no_whole_head_are_closed(
    hasty: RunningService, beginning: Any
) -> None:
    with Crowd(address_of(hasty), 20, beginning(ADMIN_KEY)) as crowd:
        assert crowd.wait_closed(30)


def test_a_head_that_comes_too_slowly_is_told_so_however_steadily_it_comes(
    hasty: RunningService,
) -> None:
    with attacker.connected(address_of(hasty)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        connection.settimeout(0.05)
        received = b""
        for _ in range(600):
            try:
                received = connection.recv(65536)
                break
            except TimeoutError:
                connection.sendall(b"x")
    assert attacker.status(received.decode()) == "408"


def test_the_time_for_a_head_begins_anew_with_each_request_and_ends_with_the_head(
    hasty: RunningService,
) -> None:
    with attacker.connected(address_of(hasty)) as connection:
        for _ in range(2):
            connection.sendall(HEALTH)
            assert attacker.status(connection.recv(65536).decode()) == "200"
        connection.sendall(b"GET /")
        assert attacker.status(attacker.answer(connection)) == "408"


def test_an_idle_connection_is_closed(hasty: RunningService) -> None:
    with attacker.connected(address_of(hasty)) as connection:
        connection.sendall(HEALTH)
        assert attacker.answer(connection).endswith('{"status":"ok"}')


def test_connections_that_send_nothing_give_way_to_new_ones(tmp_path: Path) -> None:
    with RunningService(
        tmp_path, engine=FakeEngine(), max_connections=16, max_connections_per_address=8
    ) as service:
        with Crowd(address_of(service), 30, attacker.half_head("")) as crowd:
            answer = attacker.send(address_of(service), LAST_HEALTH)
            assert attacker.status(answer) == "200"
            wait_until(lambda: crowd.num_open <= 8)
        wait_until(lambda: service.server.connections.num_open == 0)


def test_where_all_connections_are_at_work_a_new_one_is_503_unless_a_trusted_proxy_brings_it(
    tmp_path: Path,
) -> None:
    engine = FakeEngine()
    body = b'{"model":"pocket","prompt":"Hi","stream":true}'
    request = attacker.request("/v1/completions", body, ADMIN_KEY)
    for proxies, status in (("", "503"), ("127.0.0.1", "200")):
        engine = FakeEngine()
        with RunningService(
            tmp_path,
            engine=engine,
            max_connections_per_address=2,
            trusted_proxies=proxies,
            drain_seconds=0,
        ) as service:
            engine.hold()
            with Crowd(address_of(service), 2, request):
                assert all(engine.submitted.acquire(timeout=30) for _ in range(2))
                answer = attacker.send(address_of(service), LAST_HEALTH)
                assert attacker.status(answer) == status
                if status == "503":
                    assert error_of(answer)["code"] == "too_many_connections"


def test_requests_sent_ahead_are_answered_in_order_and_no_more_than_a_few_are_kept(
    target: RunningService,
) -> None:
    other = HEALTH.replace(b"/healthz", b"/v1/models")  # without a key
    answer = attacker.send(address_of(target), HEALTH + other + HEALTH + other + LAST_HEALTH)
    statuses = re.findall(r"HTTP/1\.1 (\d+)", answer)
    assert statuses == ["200", "401", "200", "401", "200"]
    flood = attacker.send(address_of(target), HEALTH * 5000)
    assert 1 <= flood.count("HTTP/1.1 200") <= 20
    assert "sent ahead" in flood


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (attacker.long_trailer(3_000_000), "431"),
        (attacker.long_extension(3_000_000), "431"),
        (b"2\r\n{}\r\nnonsense\r\n", "400"),
        (attacker.chunks_of_one(5000), "400"),  # spaces are no JSON
    ],
    ids=["trailer", "extension", "nonsense", "chunks"],
)
def test_what_frames_a_body_is_bounded_and_checked_like_headers(
    target: RunningService, body: bytes, status: str
) -> None:
    answer = attacker.send(address_of(target), attacker.chunked(ADMIN_KEY, body))
    assert attacker.status(answer) == status
    assert error_of(answer)["message"]


def test_a_body_of_more_chunks_than_any_client_sends_is_refused_before_it_has_come(
    target: RunningService,
) -> None:
    fits = attacker.chunked(ADMIN_KEY, attacker.chunks_of_one(MAX_CHUNKS - 1))
    fits = fits.replace(b"Connection: close\r\n", b"")
    too_many = attacker.chunked(ADMIN_KEY, b"1\r\n \r\n" * (MAX_CHUNKS + 1))  # and no end
    with attacker.connected(address_of(target)) as connection:
        for _ in range(2):  # each body is counted for itself
            connection.sendall(fits)
            assert "JSON" in connection.recv(65536).decode()
        connection.sendall(too_many)
        answer = attacker.answer(connection)
    assert attacker.status(answer) == "400"
    assert str(MAX_CHUNKS) in error_of(answer)["message"]


def test_after_a_refusal_no_more_is_read_than_lets_the_client_see_the_answer(
    target: RunningService,
) -> None:
    sent = 0
    with attacker.connected(address_of(target)) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(attacker.half_head("") + b"x" * 17_000)
            while sent < 8 * MAX_DROPPED_BYTES:
                connection.sendall(b"x" * 2**20)
                sent += 2**20
        answer = attacker.answer(connection)
    # What is over the bound lies in the buffers of both sockets.
    assert sent < 4 * MAX_DROPPED_BYTES
    assert attacker.status(answer) == "431"


def test_a_malformed_request_does_not_spoil_the_answer_to_the_one_before(
    target: RunningService,
) -> None:
    answer = attacker.send(address_of(target), HEALTH + b"nonsense\r\n\r\n")
    first, _, second = answer.partition('{"status":"ok"}')
    assert attacker.status(first) == "200"
    assert error_of(second)["code"] == "invalid_request"


def test_an_answer_that_comes_before_the_end_of_the_body_arrives_whole(
    target: RunningService,
) -> None:
    body = b" " * (target.settings.max_body_bytes + 1)
    for key, status in ((ADMIN_KEY, "413"), (None, "401")):
        answer = attacker.send(address_of(target), attacker.request("/v1/completions", body, key))
        assert attacker.status(answer) == status
        assert error_of(answer)


def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(tmp_path: Path) -> None:
    with RunningService(tmp_path, engine=FakeEngine(), idle_timeout_seconds=1) as service:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(address_of(service))
        with connection:
            paths = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 8
            sent = 0
            connection.settimeout(30)
            while service.server.connections.num_open and sent < 400:
                try:
                    connection.sendall(paths)
                except OSError:
                    break
                sent += 8
            wait_until(lambda: service.server.connections.num_open == 0)


class Still:
    """A connection that sends nothing."""

    is_evicted = False

    def evict(self) -> None:
        self.is_evicted = True


def test_file_descriptors_bound_the_connections_of_all_and_of_one_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_max_descriptors", lambda: RESERVED_DESCRIPTORS + 10)
    counted = Connections(max_total=1000, max_per_address=1000)
    of_one = [Still() for _ in range(6)]
    for one in of_one:
        counted.add(one, ("192.0.2.1", 1))
    assert [one.is_evicted for one in of_one] == [True] + 5 * [False], "half of ten"
    of_others = [Still() for _ in range(6)]
    for i, one in enumerate(of_others):
        counted.add(one, (f"192.0.2.{i + 2}", 1))
    assert counted.num_open == 10
    assert [one.is_evicted for one in (*of_one, *of_others)].count(True) == 2
