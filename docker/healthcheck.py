"""Exits with status 0 if the service in this container accepts requests. Needs no packages."""

import http.client
import os
import sys

TIMEOUT_SECONDS = 4

connection = http.client.HTTPConnection(
    "127.0.0.1", int(os.environ.get("LLM_PORT") or 8000), timeout=TIMEOUT_SECONDS
)
try:
    connection.request("GET", "/readyz")
    response = connection.getresponse()
    sys.exit(0 if response.status == 200 else response.read().decode())
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"no answer: {error!r}")
