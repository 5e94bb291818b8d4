"""Raw sockets for requests that no HTTP library would send."""

import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.attack.bodies import CHAT

Address = tuple[str, int]


@contextmanager
def connected(address: Address, timeout: float = 60) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=timeout) as connection:
        yield connection


def request(path: str, body: bytes, key: str | None, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *([] if key is None else [f"Authorization: Bearer {key}"]),
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def send(address: Address, data: bytes, timeout: float = 60) -> str:
    """Send all of it, as far as it is taken, and return the answer, or what came instead."""
    with connected(address, timeout) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        return answer(connection)


def answer(connection: socket.socket) -> str:
    received = bytearray()
    try:
        while piece := connection.recv(65536):
            received += piece
    except TimeoutError:
        return received.decode("latin-1") or "no answer"
    except OSError:
        pass
    return received.decode("latin-1") or "connection closed"


def status(text: str) -> str:
    """The status code of an answer, or the words that stand for none."""
    return text.split(" ", 2)[1] if text.startswith("HTTP/") else text


def one_header(size: int) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * size + b"\r\n\r\n"


def many_headers(count: int) -> bytes:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(count))
    return b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"


def long_line(size: int) -> bytes:
    return b"GET /" + b"x" * size + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def pipelined(count: int) -> bytes:
    return b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * count


def chunked(key: str, body: bytes) -> bytes:
    """A request whose body is sent as it is: chunks, or what should be chunks."""
    head = request(CHAT, b"", key, "Transfer-Encoding: chunked")
    return head.replace(b"Content-Length: 0\r\n", b"") + body


def chunks_of_one(count: int) -> bytes:
    return b"1\r\n \r\n" * count + b"0\r\n\r\n"


def long_trailer(size: int) -> bytes:
    return b"2\r\n{}\r\n0\r\nX-Long: " + b"x" * size + b"\r\n\r\n"


def long_extension(size: int) -> bytes:
    return b"2;a=" + b"x" * size + b"\r\n{}\r\n0\r\n\r\n"


def half_head(_: str) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nX-Half: "


def half_body(key: str) -> bytes:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    return head.encode() + b"Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"


def silence(_: str) -> bytes:
    return b""


class Crowd:
    """Connections that have sent a beginning and send no more. Leaving closes them."""

    def __init__(self, address: Address, count: int, beginning: bytes) -> None:
        self._connections: list[socket.socket] = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                connection = socket.create_connection(address, timeout=2)
                self._connections.append(connection)
                connection.sendall(beginning)

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.close()

    @property
    def num_open(self) -> int:
        """How many the other side has not closed."""
        return sum(map(_is_open, self._connections))

    def wait_closed(self, seconds: float) -> bool:
        """Whether the other side closes all of them within `seconds`."""
        deadline = time.monotonic() + seconds
        for connection in self._connections:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                while connection.recv(65536):
                    pass
            except TimeoutError:
                return False
            except OSError:
                pass
        return True


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
