"""Handles request fields that the schema does not have: see `parameter_table`."""

from collections.abc import Mapping
from typing import Any

import structlog

from llm_service.api.parameter import Endpoint, Parameter, Treatment
from llm_service.api.parameter_table import TABLE
from llm_service.errors import UnsupportedParameter

log = structlog.get_logger()

MAX_LOGGED_FIELDS = 200
MAX_LOGGED_LENGTH = 64  # characters of a name

_REFUSED: dict[tuple[Endpoint, str], Parameter] = {
    (endpoint, row.name): row
    for row in TABLE
    if row.treatment is Treatment.REFUSED
    for endpoint in row.endpoints
}
_KNOWN = {(endpoint, row.name) for row in TABLE for endpoint in row.endpoints}


def refuse_unsupported(
    endpoint: Endpoint, fields: Mapping[str, Any], parent: str = "", position: str = ""
) -> None:
    """Raise UnsupportedParameter for the first of `fields` whose effect the caller would miss.

    For the fields of a nested object, `parent` is the object's name in the table ("messages."),
    and `position` its name in the request ("messages.3.").
    """
    for name, value in fields.items():
        row = _REFUSED.get((endpoint, parent + name))
        if row is not None and not any(_is_same(value, accepted) for accepted in row.accepted):
            param = (position or parent) + name
            raise UnsupportedParameter(f"{param} is not supported here: {row.words}", param=param)


class UnknownFieldLog:
    """Logs each name of an unknown field once: typos become visible and the log stays small."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def note(self, endpoint: Endpoint, fields: Mapping[str, Any], parent: str = "") -> None:
        """Log the names in `fields` that the table does not have: MAX_LOGGED_FIELDS in all.

        For the fields of a nested object, `parent` is its name in the table ("messages.").
        """
        names = (parent + name for name in fields)
        unknown = {name[:MAX_LOGGED_LENGTH] for name in names if (endpoint, name) not in _KNOWN}
        if new := sorted(unknown - self._logged)[: MAX_LOGGED_FIELDS - len(self._logged)]:
            self._logged.update(new)
            log.warning("unknown request fields are ignored", fields=new)


def _is_same(value: Any, accepted: Any) -> bool:
    """JSON equality: 1 is 1.0, but not true."""
    return bool(value == accepted) and isinstance(value, bool) == isinstance(accepted, bool)
