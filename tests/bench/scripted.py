"""An OpenAI-like server whose every answer is the test's to give, on a real socket."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

# What to do with the n-th completion request: (its number from 0, its body, how to answer).
Script = Callable[[int, dict[str, Any], "Reply"], None]


class Reply:
    """The ways to answer one request."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler

    def send(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self._handler.send_response(status)
        self._handler.send_header("Content-Length", str(len(content)))
        self._handler.end_headers()
        self._handler.wfile.write(content)

    def refuse(self, status: int, message: str) -> None:
        self.send(status, {"error": {"message": message}})

    def stream(self, num_tokens: int, prompt_tokens: int | None = None) -> None:
        """`num_tokens` events, then usage where `prompt_tokens` are given. Ends the connection."""
        self._handler.send_response(200)
        self._handler.end_headers()
        for _ in range(num_tokens):
            self.event({"choices": [{"index": 0, "text": " word"}]})
        if prompt_tokens is not None:
            usage = {"prompt_tokens": prompt_tokens, "completion_tokens": num_tokens}
            self.event({"choices": [], "usage": usage})
        self._handler.wfile.write(b"data: [DONE]\n\n")

    def event(self, fields: dict[str, Any]) -> None:
        self._handler.wfile.write(b"data: %b\n\n" % json.dumps(fields).encode())
        self._handler.wfile.flush()

    def break_off(self) -> None:
        """Promise more than comes."""
        self._handler.send_response(200)
        self._handler.send_header("Content-Length", "100000")
        self._handler.end_headers()
        self.event({"choices": [{"index": 0, "text": " word"}]})


class ScriptedServer:
    """`with ScriptedServer(script) as server:`; keeps the bodies that it was sent."""

    def __init__(self, script: Script) -> None:
        bodies: list[dict[str, Any]] = []
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                Reply(self).send(200, {"data": [{"id": "scripted"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    bodies.append(body)
                    number = len(bodies) - 1
                script(number, body, Reply(self))

            def log_message(self, *_: Any) -> None:
                """Nothing: tests are quiet."""

        self.bodies = bodies
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
