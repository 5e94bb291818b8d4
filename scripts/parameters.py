"""Writes docs/parameters.md from the table by which the service accepts and refuses fields."""

import json
from collections.abc import Iterable
from pathlib import Path

from llm_service.api.parameter import Parameter, Treatment
from llm_service.api.parameter_table import TABLE

FILE = Path(__file__).parent.parent / "docs" / "parameters.md"

ROUTES = {
    "chat": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "messages": "messages",
    "count_tokens": "count",
    "tokenize": "`/tokenize`",
    "detokenize": "`/detokenize`",
    "generate": "`/generate`",
    "ollama_chat": "`/api/chat`",
    "ollama_generate": "`/api/generate`",
    "ollama_embed": "`/api/embed`",
    "ollama_embeddings": "`/api/embeddings`",
}

TEXT = """\
# Request parameters

`python -m scripts.parameters` writes this page from `llm_service/api/parameter_table.py`, which
the service itself uses. "Chat" is `/v1/chat/completions` and `/chat`, "completions" is
`/v1/completions`, "embeddings" is `/v1/embeddings`, "responses" is `/v1/responses`, "messages" is
`/v1/messages`, and "count" is `/v1/messages/count_tokens`.

- A **served** field works as described.
- A field **without effect** is accepted and ignored, because it cannot change the answer.
- A **refused** field is not supported, and ignoring it would change the answer. It gets a 400 that
  names it, with the code `unsupported_parameter`, unless its value is null or one of the accepted
  values.
- Any other field is accepted and ignored; its name is logged once.

In every field, `null` is the same as leaving it out, and `16.0` is the integer `16`.

## Served

| field | where | meaning |
|---|---|---|
{served}

Sampling parameters that are not sent have the model's defaults, which `GET /v1/models` shows.

With `logprobs` on completions, `text_offset` is the number of characters of the answer before each
token. A stop string is cut off, so the offsets of its tokens are at the end of the text or after
it. A token that is only part of a character is written as its bytes, `bytes:\\xe2\\x82`.

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
    """Return the text of docs/parameters.md; equal tables give equal texts."""
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
