"""A hub on a local socket: the few endpoints that a download needs, as the real one has them."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

SHA = "0123456789abcdef0123456789abcdef01234567"


class HubServer(ThreadingHTTPServer):
    """Serves `folders` by model id; ids in `gated` are refused as gated models are."""

    daemon_threads = True

    def __init__(self, folders: Mapping[str, Path], gated: Collection[str] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folders = folders
        self.gated = gated
        self.downloads = Counter[str]()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub_server(folders: Mapping[str, Path], gated: Collection[str] = ()) -> Iterator[HubServer]:
    server = HubServer(folders, gated)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def log_message(self, *args):
        pass

    def _answer(self):
        path = self.path.partition("?")[0].removeprefix("/")
        is_api = path.startswith("api/models/")
        owner, name, *rest = path.removeprefix("api/models/").split("/")
        model_id = f"{owner}/{name}"
        folder = self.server.folders.get(model_id)
        if model_id in self.server.gated:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif folder is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif is_api and rest and rest[0] == "tree":
            self._send_json([_listed(file) for file in _files(folder)])
        elif is_api:
            names = [{"rfilename": file.name} for file in _files(folder)]
            self._send_json({"id": model_id, "sha": SHA, "siblings": names})
        else:
            self._send_file(folder / rest[-1])

    def _send_file(self, file):
        if self.command == "GET":
            self.server.downloads[file.name] += 1
        content = file.read_bytes()
        self._send(200, content, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": SHA})

    def _send_json(self, value):
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status, content, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _listed(file):
    content = file.read_bytes()
    return {"type": "file", "path": file.name, "size": len(content), "oid": _etag(content)}


def _etag(content):
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
