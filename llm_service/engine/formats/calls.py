"""Reads calls between their delimiters, and gives them out as soon as their name is known."""

import secrets
from collections.abc import Mapping
from enum import Enum, auto

from llm_service.engine.formats.declarations import (
    Calls,
    GemmaBody,
    JsonBody,
    NamedBody,
    XmlBody,
)
from llm_service.engine.formats.delimiters import Delimiters
from llm_service.engine.formats.deltas import Deltas
from llm_service.engine.formats.gemma_reader import GemmaReader
from llm_service.engine.formats.json_reader import JsonReader, NamedReader
from llm_service.engine.formats.readers import Progress, Reader
from llm_service.engine.formats.schemas import Schema
from llm_service.engine.formats.xml_reader import XmlReader

_SPACE = " \t\r\n"


class _Phase(Enum):
    OPENING = auto()  # before the first body
    BODY = auto()
    AFTER = auto()  # after a body
    OVER = auto()


class CallRegion:
    """What follows one begin delimiter: a call, or several where they stand in a list.

    Until the name of a call is known, its text is held back: text that turns out to be no call,
    or that calls a tool that does not exist, is `rejected`, whole.
    """

    def __init__(
        self,
        calls: Calls,
        delimiters: Delimiters,
        tools: Mapping[str, Schema],
        first_index: int,
        before: str,
    ) -> None:
        """`before`: the text of the begin delimiter and the whitespace before it."""
        self._calls = calls
        self._tools = tools
        self._separator = calls.between.strip()
        self._raw: str | None = before
        self._held = ""
        self._phase = _Phase.OPENING if calls.is_list else _Phase.BODY
        self._delimiters = delimiters
        self._reader = self._new_reader()
        self._first_index = self._next_index = first_index
        self.rejected = ""
        self.is_closed = False  # the end delimiter has come

    @property
    def is_over(self) -> bool:
        return self._phase is _Phase.OVER

    @property
    def num_calls(self) -> int:
        return self._next_index - self._first_index

    def feed(self, text: str, out: Deltas) -> str:
        """Return the text after the region; empty while it goes on."""
        while text and not self.is_over:
            text, self._held = self._held + text, ""
            match self._phase:
                case _Phase.OPENING:
                    text = self._open(text)
                case _Phase.BODY:
                    text = self._read(text, out)
                case _:
                    text = self._close(text)
        return text

    def delimiter(self, delimiter: str, out: Deltas) -> bool:
        """Take a delimiter that was generated as its own token; False: it is not the region's."""
        if self._phase is _Phase.BODY and self._reader.delimiter(delimiter):
            self._collect(delimiter, out)
            return True
        is_end = delimiter == self._calls.end
        if self._phase is _Phase.AFTER or self._raw is None:
            self._reader.close(self._held)
            self._give_arguments(out)
            self._held = ""
            self._phase = _Phase.OVER
            self.is_closed = is_end
        else:
            self._reject(self._held + (delimiter if is_end else ""))
        return is_end

    def finish(self) -> None:
        """No more text comes. What has been given out stays."""
        if self._raw is not None and self._phase is not _Phase.AFTER:
            self._reject(self._held)
        self._phase = _Phase.OVER

    def _open(self, text: str) -> str:
        assert self._raw is not None
        body = text.lstrip(_SPACE)
        if not body:
            self._held = text
            return ""
        self._phase = _Phase.BODY
        if body[0] == "[":
            self._raw += text[: len(text) - len(body) + 1]
            return body[1:]
        return text

    def _read(self, text: str, out: Deltas) -> str:
        taken = self._reader.feed(text)
        self._collect(text[:taken], out)
        if self._phase is _Phase.BODY and self._reader.progress is Progress.OPEN:
            self._held = text[taken:]
            return ""
        return text[taken:]

    def _collect(self, text: str, out: Deltas) -> None:
        """Note that the reader has taken `text`."""
        if self._raw is not None:
            self._raw += text
            self._give_call(out)
        if self._reader.progress is Progress.FAILED:
            self._reader.close()
        if self._raw is None:
            self._give_arguments(out)
        if self._reader.progress is Progress.OPEN or self.is_over:
            return
        if self._raw is not None:
            self._reject()
        else:
            self._phase = _Phase.AFTER
            if not self._calls.end and not self._separator:
                self._phase = _Phase.OVER

    def _give_call(self, out: Deltas) -> None:
        name = self._reader.name
        if name is None:
            return
        if name not in self._tools:
            self._reject()
            return
        out.call(self._next_index, f"call_{secrets.token_hex(12)}", name)
        self._next_index += 1
        self._raw = None

    def _give_arguments(self, out: Deltas) -> None:
        if self._raw is None:
            out.arguments(self._next_index - 1, self._reader.take_arguments())

    def _close(self, text: str) -> str:
        """After a body: the end of the region, another call, or whatever comes."""
        text = text.lstrip(_SPACE + "}")  # models write a bracket too many
        end = self._calls.end
        if end and text.startswith(end):
            self._phase, self.is_closed = _Phase.OVER, True
            return text[len(end) :]
        if not text or (end and end.startswith(text)):
            self._held = text
            return ""
        if self._separator and text.startswith((self._separator, "{")):
            self._raw = text[: text[0] == self._separator]
            self._reader = self._new_reader()
            self._phase = _Phase.BODY
            return text[len(self._raw) :]
        self._phase = _Phase.OVER
        return text[self._calls.is_list and text[0] == "]" :]

    def _new_reader(self) -> Reader:
        match self._calls.body:
            case JsonBody(name_key, arguments_key):
                return JsonReader(name_key, arguments_key)
            case NamedBody(separator, id_separator):
                return NamedReader(separator, id_separator)
            case XmlBody():
                return XmlReader(self._tools)
            case GemmaBody(prefix, quote):
                is_text = self._delimiters.token_id(quote) is None
                return GemmaReader(prefix, quote, self._tools, is_quote_text=is_text)

    def _reject(self, more: str = "") -> None:
        self.rejected = (self._raw or "") + more
        self._held = ""
        self._phase = _Phase.OVER
