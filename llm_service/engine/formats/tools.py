"""The tools that a model may call, and which of them it has to call."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the caller offers. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may or must call tools; `name` is the one that it must call."""

    mode: Literal["auto", "none", "required"] = "auto"
    name: str | None = None
    is_parallel: bool = True

    @property
    def is_required(self) -> bool:
        return self.mode == "required" or self.name is not None

    def callable_of(self, tools: "tuple[Tool, ...]") -> "tuple[Tool, ...]":
        """Return those of `tools` that the model may call."""
        if self.name is not None:
            return tuple(tool for tool in tools if tool.name == self.name)
        return () if self.mode == "none" else tools
