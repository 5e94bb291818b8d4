"""Accepts two variants of a request: a trailing slash, and HEAD in place of GET."""

from starlette.types import ASGIApp, Receive, Scope, Send


class Leniency:
    """Pure ASGI, and in front of authentication, which must see the path that is served.

    A trailing slash is dropped rather than redirected: a redirect would need the scheme and the
    host that the client used, which only a proxy may know. HEAD goes to the GET route; the
    server leaves out the body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["path"] = scope["path"].rstrip("/") or "/"
        if scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        # A copy, because the server looks at the method of its own scope.
        as_get = {**scope, "method": "GET"}
        try:
            await self.app(as_get, receive, send)
        finally:
            scope.update(as_get, method="HEAD")
