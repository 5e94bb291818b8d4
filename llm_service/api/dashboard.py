"""GET /: the dashboard for browsers, facts about the service for other clients."""

import gzip
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from llm_service.api.dependencies import CurrentServices
from llm_service.api.health import service_facts
from llm_service.errors import NotFound

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
HASHED = "/assets/"  # names there change with their content


@dataclass(frozen=True, slots=True)
class DashboardFile:
    """A file of the built dashboard, in memory: together they are about a megabyte."""

    body: bytes
    gzipped: bytes
    media_type: str
    cache_control: str

    def response(self, request: Request) -> Response:
        headers = {**SECURITY_HEADERS, "Cache-Control": self.cache_control, "Vary": "Accept"}
        body = self.body
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept, Accept-Encoding"}
            body = self.gzipped
        return Response(body, media_type=self.media_type, headers=headers)


def dashboard_files(folder: Path) -> dict[str, DashboardFile]:
    """The built dashboard by URL path; empty when it is not built."""
    if not (folder / "index.html").is_file():
        return {}
    paths = {"/" + f.relative_to(folder).as_posix(): f for f in folder.rglob("*") if f.is_file()}
    return {url: _read(url, path) for url, path in paths.items()}


def create_dashboard_router(files: dict[str, DashboardFile]) -> APIRouter:
    """Routes for `/` and for each of the dashboard's `files`; no path is looked up on disk."""
    router = APIRouter(include_in_schema=False)
    index = files.get("/index.html")

    @router.head("/")
    @router.get("/", include_in_schema=True)
    async def root(request: Request, services: CurrentServices) -> Response:
        if index is not None and "text/html" in request.headers.get("accept", ""):
            return index.response(request)
        return JSONResponse(service_facts(services), headers={"Vary": "Accept"})

    async def file(request: Request) -> Response:
        path = request.url.path
        if path not in files:
            raise NotFound(f"There is no file {path[:200]}.")
        return files[path].response(request)

    # One template for all hashed names, so that metrics get one label value for them.
    router.add_api_route(HASHED + "{name:path}", file)
    for path in files:
        if not path.startswith(HASHED):
            router.add_api_route(path, file)
    return router


def _read(url: str, path: Path) -> DashboardFile:
    body = path.read_bytes()
    is_hashed = url.startswith(HASHED)
    return DashboardFile(
        body=body,
        gzipped=gzip.compress(body),
        media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        cache_control="public, max-age=31536000, immutable" if is_hashed else "no-cache",
    )
