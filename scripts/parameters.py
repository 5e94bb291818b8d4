"""Writes docs/parameters.md from the table that the service itself refuses and accepts by."""

import json
from collections.abc import Iterable
from pathlib import Path

from llm_service.api.parameter_table import TABLE, Parameter, Treatment

FILE = Path(__file__).parent.parent / "docs" / "parameters.md"

ROUTES = {
    "chat": "chat",
    "completions": "completions",
    "tokenize": "`/tokenize`",
    "detokenize": "`/detokenize`",
}

TEXT = """\
# Request parameters

Written by `python -m scripts.parameters` from `llm_service/api/parameter_table.py`, the table by
which the service decides. "Chat" is `/v1/chat/completions`, "completions" is `/v1/completions`.

- A field that is **served** does what it says.
- A field **without effect** is accepted, because it cannot change the answer.
- A field that is **refused** would change the answer if it were ignored. It gets a 400 with the
  code `unsupported_parameter` that names it, unless its value is null or asks for nothing special.
- Any other field is accepted and ignored; its name is logged once.

In every field `null` means that it was not sent, and `16.0` is the integer `16`.

## Served

| field | where | meaning |
|---|---|---|
{served}

Sampling parameters that are not sent have the model's own defaults, which `GET /v1/models` shows.

With `logprobs` on completions, `text_offset` counts the characters of the answer before each token.
Tokens of a stop string, which is cut off, lie at the end of the text or after it. A token that is
a part of a character is written as its bytes, `bytes:\\xe2\\x82`.

## Without effect

| field | where | why |
|---|---|---|
{no_effect}

## Refused

| field | where | accepted values | message |
|---|---|---|---|
{refused}
"""


def page() -> str:
    """The same for the same table."""
    return TEXT.format(
        served=_lines(_of(Treatment.SERVED)),
        no_effect=_lines(_of(Treatment.NO_EFFECT)),
        refused=_lines(_of(Treatment.REFUSED), with_accepted=True),
    )


def _of(treatment: Treatment) -> Iterable[Parameter]:
    return (row for row in TABLE if row.treatment is treatment)


def _lines(rows: Iterable[Parameter], with_accepted: bool = False) -> str:
    return "\n".join(_line(row, with_accepted) for row in rows)


def _line(row: Parameter, with_accepted: bool) -> str:
    where = ", ".join(ROUTES[endpoint] for endpoint in row.endpoints)
    cells = [f"`{row.name}`", where, row.words]
    if with_accepted:
        values = ", ".join(f"`{json.dumps(value)}`" for value in row.accepted)
        cells.insert(2, values)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
