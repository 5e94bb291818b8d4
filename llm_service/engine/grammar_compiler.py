"""Compiles grammars with llguidance, for the vocabulary of one model.

Owns the bounds: the size and depth of a source, what llguidance may spend on it, and the number of
compiled grammars that are kept. llguidance is loaded, and the vocabulary handed to it, with the
first grammar.
"""

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from llm_service.engine.constraints import GrammarConstraint, first_line
from llm_service.engine.grammar import GrammarSource, TokenConstraint
from llm_service.engine.vocabulary import Vocabulary
from llm_service.errors import InvalidRequest

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_MAX_CACHED = 64
_MAX_SOURCE_CHARS = 1_000_000
_MAX_DEPTH = 64
_MAX_LEXER_STATES = 20_000  # of 1 to 2 kB, in each sequence
_MAX_GRAMMAR_SIZE = 200_000  # symbols
_JSON = re.compile(r"%json\s*(?=[{\[tf\"])")
# As `json.dumps` and templates write it. Flexible whitespace would let a model end a line for ever.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class CompiledGrammar:
    """Implements `Grammar`."""

    def __init__(self, source: GrammarSource, matcher: "LLMatcher", vocab_size: int) -> None:
        self._source, self._matcher, self._vocab_size = source, matcher, vocab_size

    def constraint(self) -> TokenConstraint:
        return GrammarConstraint(self._source, self._matcher, self._vocab_size)


class GrammarCompiler:
    """Implements `Grammars`. One grammar is compiled at a time; the others wait."""

    def __init__(self, vocabulary: Vocabulary, encode: Callable[[str], list[int]]) -> None:
        """`encode` turns text in the middle of an answer into ids, without control tokens."""
        self._vocabulary = vocabulary
        self._encode = encode
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
                    matcher = await asyncio.to_thread(self._compile, source.text)
        self._cache[source.text] = matcher
        self._cache.move_to_end(source.text)
        if len(self._cache) > _MAX_CACHED:
            self._cache.popitem(last=False)
        return CompiledGrammar(source, matcher, self._vocabulary.size)

    def _compile(self, text: str) -> "LLMatcher":
        from llguidance import LLMatcher, LLParserLimits

        text = _with_layout(text)
        if self._tokenizer is None:
            self._tokenizer = _make_tokenizer(self._vocabulary, self._encode)
        limits = LLParserLimits(
            max_lexer_states=_MAX_LEXER_STATES,
            max_grammar_size=_MAX_GRAMMAR_SIZE,
            verbose_errors=False,
        )
        matcher = LLMatcher(self._tokenizer, text, log_level=0, limits=limits)
        if matcher.is_error():
            raise InvalidRequest(f"The grammar is not possible: {first_line(matcher.get_error())}")
        return matcher


def _with_layout(text: str) -> str:
    """Set the layout of each JSON schema in `text`. Raises InvalidRequest beyond the bounds."""
    if len(text) > _MAX_SOURCE_CHARS:
        raise InvalidRequest(
            f"The grammar has {len(text)} characters; at most {_MAX_SOURCE_CHARS} are possible."
        )
    pieces, end = [], 0
    for match in _JSON.finditer(text):
        if match.start() < end:
            continue  # within a schema
        try:
            schema, schema_end = json.JSONDecoder().raw_decode(text, match.end())
        except ValueError:
            continue  # within a string of the grammar
        except RecursionError:
            raise InvalidRequest(f"A JSON schema is nested more than {_MAX_DEPTH} deep.") from None
        if _depth(schema) > _MAX_DEPTH:
            raise InvalidRequest(f"A JSON schema is nested more than {_MAX_DEPTH} deep.")
        if schema is True:
            schema = {}
        if isinstance(schema, dict):
            schema = {"x-guidance": _LAYOUT, **schema}
        pieces += [text[end : match.end()], json.dumps(schema)]
        end = schema_end
    return "".join([*pieces, text[end:]])


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


def _make_tokenizer(vocabulary: Vocabulary, encode: Callable[[str], list[int]]) -> "LLTokenizer":
    """Hand the vocabulary over. The last part holds the interpreter's lock, for up to a second."""
    from llguidance import LLTokenizer, TokenizerWrapper

    class Described:
        eos_token_id = min(vocabulary.eos_token_ids)
        bos_token_id = None
        special_token_ids = sorted(vocabulary.special_token_ids)
        tokens = [vocabulary.token_bytes(i) for i in range(vocabulary.size)]  # noqa: RUF012

        def __call__(self, text: str | bytes) -> list[int]:
            return encode(text.decode() if isinstance(text, bytes) else text)

    return LLTokenizer(
        TokenizerWrapper(Described()),
        n_vocab=vocabulary.size,
        eos_token=sorted(vocabulary.eos_token_ids),
    )
