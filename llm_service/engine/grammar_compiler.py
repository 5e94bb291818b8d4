"""Compiles grammars with llguidance, for the vocabulary of one model.

Owns the bounds: the size and depth of a source, what llguidance may spend on it, and the number of
compiled grammars that are kept. llguidance follows rules and references by recursion, and a stack
that overflows ends the process, so their number is bounded and the stack is large. llguidance is
loaded, and the vocabulary handed to it, with the first grammar.
"""

import asyncio
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llm_service.engine.constraints import GrammarConstraint, why
from llm_service.engine.grammar import GrammarSource, TokenConstraint
from llm_service.engine.vocabulary import Vocabulary
from llm_service.errors import InvalidRequest

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_MAX_CACHED = 64
_MAX_SOURCE_CHARS = 1_000_000
_MAX_DEPTH = 64
# A path through lines of rules and levels of schemas may have this many steps. One takes up to
# 4 kB of stack.
_MAX_STEPS = 8_000
_STACK_BYTES = 64 * 2**20
_MAX_LEXER_STATES = 20_000  # of 1 to 2 kB, in each sequence
_MAX_GRAMMAR_SIZE = 200_000  # symbols
_JSON = re.compile(r"%json\s*")
_CHARS_PER_STEP = 7  # of a schema: `{"not":` is the shortest
_SENTINEL = "\x02"  # a character that no text has
# These are the separators of `json.dumps` and of chat templates. With flexible whitespace, a model
# may end lines for ever.
# `oneOf` is taken for `anyOf`: that more than one holds cannot be ruled out token by token.
_OPTIONS = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "coerce_one_of": True,
}


T = TypeVar("T")


class CompiledGrammar:
    """Implements `Grammar`."""

    def __init__(
        self, source: GrammarSource, matcher: "LLMatcher", num_ids: int, vocab_size: int
    ) -> None:
        self._source, self._matcher = source, matcher
        self._num_ids, self._vocab_size = num_ids, vocab_size

    def constraint(self) -> TokenConstraint:
        return GrammarConstraint(self._source, self._matcher, self._num_ids, self._vocab_size)


class Encoder(Protocol):
    """What is needed of a `SealedTokenizer`."""

    @property
    def control_token_ids(self) -> frozenset[int]: ...

    def encode_inside(self, text: str) -> list[int]: ...


class GrammarCompiler:
    """Implements `Grammars`. One grammar is compiled at a time; the others wait."""

    def __init__(self, vocabulary: Vocabulary, encoder: Encoder) -> None:
        self._vocabulary = vocabulary
        self._encoder = encoder
        self._tokenizer: LLTokenizer | None = None
        self._cache: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = asyncio.Lock()

    async def compile(self, source: GrammarSource) -> CompiledGrammar:
        """Also raises InvalidRequest for a source that is too long or too deep."""
        matcher = self._cache.get(source.text)
        if matcher is None:
            async with self._lock:
                matcher = self._cache.get(source.text)
                if matcher is None:
                    matcher = await asyncio.wrap_future(
                        _on_large_stack(lambda: self._compile(source.text))
                    )
        self._cache[source.text] = matcher
        self._cache.move_to_end(source.text)
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        assert self._tokenizer is not None
        return CompiledGrammar(source, matcher, self._tokenizer.vocab_size, self._vocabulary.size)

    def _compile(self, text: str) -> "LLMatcher":
        from llguidance import LLMatcher, LLParserLimits

        text = _with_options(text)
        if self._tokenizer is None:
            self._tokenizer = make_tokenizer(self._vocabulary, self._encoder)
        limits = LLParserLimits(
            max_lexer_states=_MAX_LEXER_STATES,
            max_grammar_size=_MAX_GRAMMAR_SIZE,
            verbose_errors=False,
        )
        matcher = LLMatcher(self._tokenizer, text, log_level=0, limits=limits)
        _refuse_error(matcher)
        # Some grammars allow no beginning, or cost too much from the first token on.
        first = GrammarConstraint(
            GrammarSource(text), matcher, self._tokenizer.vocab_size, self._vocabulary.size
        )
        first.masks(())
        if first.error is not None:
            raise InvalidRequest(first.error.message)
        return matcher


def _refuse_error(matcher: "LLMatcher") -> None:
    if matcher.is_error():
        raise InvalidRequest(f"The grammar is not possible: {why(matcher)}")


def _on_large_stack(call: Callable[[], T]) -> "Future[T]":
    """Call in a thread of its own, whose stack has room for _MAX_STEPS."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    before = threading.stack_size(_STACK_BYTES)  # of all threads that are started from now on
    try:
        threading.Thread(target=run, name="grammar", daemon=True).start()
    finally:
        threading.stack_size(before)
    return result


def _with_options(text: str) -> str:
    """Set the options of each JSON schema in `text`. Raises InvalidRequest beyond the bounds."""
    if len(text) > _MAX_SOURCE_CHARS:
        raise InvalidRequest(
            f"The grammar has {len(text)} characters; at most {_MAX_SOURCE_CHARS} are possible."
        )
    pieces, end, num_lines, most_levels = [], 0, 0, 0
    for match in _JSON.finditer(text):
        if match.start() < end:
            continue  # within a schema
        try:
            schema, schema_end = json.JSONDecoder().raw_decode(text, match.end())
        except ValueError:
            # This is a part of a string, or a schema that is written in an unusual way.
            most_levels = max(most_levels, (len(text) - match.end()) // _CHARS_PER_STEP)
            continue
        except RecursionError:
            raise InvalidRequest(f"A JSON schema is nested more than {_MAX_DEPTH} deep.") from None
        depth = _depth(schema)
        if depth > _MAX_DEPTH:
            raise InvalidRequest(f"A JSON schema is nested more than {_MAX_DEPTH} deep.")
        # A path visits what a reference leads to once, and each time at most all levels.
        most_levels = max(most_levels, depth * (1 + len(_references(schema))))
        num_lines += text.count("\n", end, match.start())
        if schema is True:
            schema = {}
        if isinstance(schema, dict):
            schema = {"x-guidance": _OPTIONS, **schema}
        pieces += [text[end : match.end()], json.dumps(schema)]
        end = schema_end
    num_lines += text.count("\n", end)
    if num_lines + most_levels > _MAX_STEPS:
        raise InvalidRequest(
            "The grammar has too many rules, or its schema too many references: at most"
            f" {_MAX_STEPS} lines, together with levels times references, are possible."
        )
    return "".join([*pieces, text[end:]])


def _references(schema: Any) -> set[str]:
    """Return what the schema refers to. It is not deeper than _MAX_DEPTH."""
    found = {
        schema["$ref"] if isinstance(schema, dict) and isinstance(schema.get("$ref"), str) else ""
    }
    for inner in _children(schema):
        found |= _references(inner)
    return found - {""}


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [inner for outer in level for inner in _children(outer)]
    return depth


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def make_tokenizer(vocabulary: Vocabulary, encoder: Encoder) -> "LLTokenizer":
    """Hand the vocabulary to llguidance.

    Its two calls hold the interpreter's lock, each for up to half a second.
    """
    from llguidance import LLTokenizer, TokenizerWrapper

    tokens = [vocabulary.token_bytes(i) for i in range(vocabulary.size)]
    described = _Described(tokens, vocabulary, encoder)
    eos_token = sorted(vocabulary.eos_token_ids) or None
    plain = LLTokenizer(TokenizerWrapper(described), eos_token=eos_token, slices=[])
    described.fall_back = plain.greedy_tokenize
    return plain.with_slices(LLTokenizer.general_slices())


class _Described:
    """Describes a vocabulary to llguidance's `TokenizerWrapper`, which names the attributes."""

    bos_token_id = None

    def __init__(self, tokens: list[bytes], vocabulary: Vocabulary, encoder: Encoder) -> None:
        self.tokens = tokens
        # Without one, llguidance adds a token of its own after the last.
        self.eos_token_id = min(vocabulary.eos_token_ids, default=None)
        self.special_token_ids = sorted(vocabulary.special_token_ids | encoder.control_token_ids)
        self._encode = encoder.encode_inside
        self.fall_back: Callable[[str], list[int]] = lambda text: []

    def __call__(self, text: bytes | str) -> list[int]:
        """Encode text as it stands in the middle of an answer, and never as control tokens.

        Some tokenizers put a space before a text. Then a character before it is encoded as well.
        """
        text = text.decode() if isinstance(text, bytes) else text
        for before in ("", _SENTINEL):
            ids, start = self._encode(before + text), 0
            spelled = [self.tokens[i] for i in ids]
            if before and before.encode() in spelled:
                start = spelled.index(before.encode()) + 1
            if b"".join(spelled[start:]) == text.encode():
                return ids[start:]
        return self.fall_back(text)
