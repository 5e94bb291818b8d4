"""What is said about one request field, in `parameter_table`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Endpoint = Literal[
    "chat",
    "completions",
    "embeddings",
    "tokenize",
    "detokenize",
    "responses",
    "messages",
    "count_tokens",
    "generate",
    "ollama_chat",
    "ollama_generate",
    "ollama_embed",
    "ollama_embeddings",
]
Endpoints = tuple[Endpoint, ...]


class Treatment(StrEnum):
    SERVED = "served"
    NO_EFFECT = "no effect"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field. The name of a nested field begins with its parent's: `messages.prefix`.

    A refused field is accepted if its value is null or in `accepted`, which have no effect.
    """

    name: str
    endpoints: Endpoints
    treatment: Treatment
    words: str
    accepted: tuple[Any, ...] = ()
