"""The parser of a stream in a declared format.

Owns which text is content and which is reasoning. `calls` reads tool calls.
"""

from collections.abc import Mapping

from llm_service.engine.answer import Delta, Logprobs
from llm_service.engine.formats.calls import CallRegion
from llm_service.engine.formats.declarations import Declaration
from llm_service.engine.formats.delimiters import Delimiters, find
from llm_service.engine.formats.deltas import Deltas, pieces
from llm_service.engine.formats.schemas import Schema
from llm_service.engine.request import GenerationChunk

_SPACE = " \t\r\n"


class FormatParser:
    """A `Parser` of one answer: see `answer`.

    Text that looks like a call, but is malformed or calls a tool that does not exist, comes back
    as what surrounds it: the caller cannot execute it, but can read what the model wrote.
    A call that begins in reasoning ends the reasoning.
    """

    def __init__(
        self,
        declaration: Declaration,
        delimiters: Delimiters,
        tools: Mapping[str, Schema],
        *,
        in_reasoning: bool,
    ) -> None:
        """`tools`: the schemas of the parameters by the names of the tools."""
        self._reasoning = declaration.reasoning
        self._calls = declaration.calls if tools else None
        self._tools = tools
        self._delimiters = delimiters
        self._by_id = {token_id: text for text, token_id in delimiters.ids.items()}
        opening, closing = [], []
        if self._calls is not None:
            opening += [self._calls.begin, self._calls.also_begin]
            closing += opening
        if self._reasoning is not None:
            opening.append(self._reasoning.open)
            closing.append(self._reasoning.close)
        self._in_content = delimiters.texts(opening)
        self._in_thought = delimiters.texts(closing)
        self._has_bare_calls = self._calls is not None and not self._calls.begin
        self._may_be_bare = self._has_bare_calls  # the answer has not begun
        self._is_reasoning = in_reasoning
        self._label = ""  # what stands between the delimiter and the reasoning
        self._region: CallRegion | None = None
        self._num_calls = 0
        self._drops_end = False  # the end of a call that is over may still come
        self._held = ""  # text that can only be understood with more
        self._strip = "\n" if in_reasoning else ""  # these are dropped until there is other text
        self._has_content = False
        self._logprobs: Logprobs = ()  # of content that is held back
        self._out = Deltas()

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        for piece in pieces(chunk):
            if self._region is None and self._is_reasoning:
                self._out.reasoning("", piece.num_tokens)
            elif self._region is None:
                self._logprobs += piece.logprobs
            self._take(piece.text)
            if piece.marker is not None:
                self._delimiter(self._by_id.get(piece.marker, ""))
        return self._drain()

    def finish(self) -> list[Delta]:
        if self._region is not None:
            self._region.finish()
            self._settle()
        held, self._held = self._held, ""
        if self._is_reasoning:
            self._think(held.rstrip("\n"))
        else:
            self._content(held)
            if not self._num_calls:
                self._out.text("", self._logprobs)
        return self._drain()

    def _drain(self) -> list[Delta]:
        deltas, self._out = self._out.list, Deltas()
        return deltas

    def _take(self, text: str) -> None:
        while text:
            if self._region is not None:
                text = self._region.feed(text, self._out)
                self._settle()
                continue
            text, self._held = self._held + text, ""
            text = self._take_reasoning(text) if self._is_reasoning else self._take_content(text)

    def _take_content(self, text: str) -> str:
        if self._may_be_bare:
            return self._take_beginning(text)
        found = find(text, self._in_content)
        before = text[: found.at].rstrip(_SPACE)
        self._content(before)
        self._held = text[len(before) : found.at if found.delimiter else None]
        return self._take_found(found.delimiter, text[found.at :])

    def _take_beginning(self, text: str) -> str:
        """At the beginning of an answer that may be a call without a delimiter."""
        stripped = text.lstrip(_SPACE)
        if not stripped:
            self._held = text
            return ""
        self._may_be_bare = False
        if stripped[0] == "{":
            self._open_region(text[: len(text) - len(stripped)])
            return stripped
        return text

    def _take_reasoning(self, text: str) -> str:
        if self._label:
            if len(text) < len(self._label) and self._label.startswith(text):
                self._held = text
                return ""
            text, self._label = text.removeprefix(self._label), ""
        found = find(text, self._in_thought)
        before = text[: found.at].rstrip("\n")
        self._think(before)
        self._held = text[len(before) : found.at if found.delimiter else None]
        return self._take_found(found.delimiter, text[found.at :])

    def _take_found(self, delimiter: str | None, text: str) -> str:
        if delimiter is None:
            return ""
        self._delimiter(delimiter)
        return text[len(delimiter) :]

    def _delimiter(self, delimiter: str) -> None:
        if self._region is not None:
            is_taken = self._region.delimiter(delimiter, self._out)
            self._settle()
            if is_taken:
                return
        held, self._held = self._held, ""
        calls, reasoning = self._calls, self._reasoning
        if calls is not None and delimiter in (calls.begin, calls.also_begin):
            self._open_region(held + delimiter)
        elif reasoning is not None and delimiter == reasoning.close:
            self._end_reasoning(held)
        elif reasoning is not None and delimiter == reasoning.open and not self._is_reasoning:
            self._begin_reasoning(held)
        elif calls is not None and delimiter == calls.end and self._drops_end:
            self._drops_end = False
        elif self._is_reasoning:
            self._think(held + delimiter)
        else:
            self._content(held + delimiter)

    def _begin_reasoning(self, held: str) -> None:
        assert self._reasoning is not None
        if self._has_content:
            self._content(held)
        self._is_reasoning = True
        self._strip = "\n"
        self._label = self._reasoning.lead.strip()
        self._logprobs = ()

    def _end_reasoning(self, held: str) -> None:
        if not self._is_reasoning:  # a close without an open divides nothing
            self._held = held
            return
        self._is_reasoning = False
        self._strip = "\n"
        self._may_be_bare = self._has_bare_calls and not self._has_content

    def _open_region(self, before: str) -> None:
        assert self._calls is not None
        self._region = CallRegion(
            self._calls, self._delimiters, self._tools, self._num_calls, before
        )
        self._may_be_bare = False

    def _settle(self) -> None:
        """If the region is over, go on with what surrounds it."""
        region = self._region
        if region is None or not region.is_over:
            return
        self._region = None
        if region.num_calls:
            self._num_calls += region.num_calls
            self._is_reasoning = False
            self._drops_end = not region.is_closed
            self._strip = _SPACE
            self._logprobs = ()
        if region.rejected:
            if self._is_reasoning:
                self._think(region.rejected)
            else:
                self._content(region.rejected)

    def _content(self, text: str) -> None:
        text = text.lstrip(self._strip)
        if text:
            self._strip = ""
            self._has_content = True
            self._out.text(text, self._logprobs)
            self._logprobs = ()

    def _think(self, text: str) -> None:
        text = text.lstrip(self._strip)
        if text:
            self._strip = ""
            self._out.reasoning(text)
