"""How families of models write reasoning and tool calls: parsers and grammars from declarations.

`choice` chooses the format of a model; it is not imported here because it imports transformers.
"""

from llm_service.engine.formats.lark import json_value
from llm_service.engine.formats.model_format import ModelFormat
from llm_service.engine.formats.tools import Tool, ToolChoice

__all__ = ["ModelFormat", "Tool", "ToolChoice", "json_value"]
