"""Writes the grammar of answers in a declared format.

Whitespace is what the family's templates write, so that a constrained answer is one that the model
might have written by itself, and that much of it is forced.
"""

from collections.abc import Sequence

from llm_service.engine.formats.bodies import call_opening, write_body
from llm_service.engine.formats.declarations import Calls, Declaration
from llm_service.engine.formats.delimiters import Delimiters
from llm_service.engine.formats.lark import (
    ANY_TEXT,
    Rules,
    alternatives,
    delimiter,
    literal,
    sequence,
    text_before,
)
from llm_service.engine.formats.tools import Tool, ToolChoice
from llm_service.engine.grammar import GrammarSource


def write_grammar(
    declaration: Declaration,
    delimiters: Delimiters,
    tools: Sequence[Tool],
    choice: ToolChoice,
    content: str | None,
    *,
    in_reasoning: bool,
) -> GrammarSource | None:
    """Return what an answer may be; None: anything.

    `content`: what the text of the answer may be, as the body of a rule; None: anything.
    """
    calls = declaration.calls
    callable_ = choice.callable_of(tuple(tools)) if calls is not None else ()
    writer = _Writer(declaration, delimiters, is_parallel=choice.is_parallel)
    if callable_ and choice.is_required:
        return writer.whole_answer(callable_, None, in_reasoning=in_reasoning)
    if content is not None:
        return writer.whole_answer(callable_, content, in_reasoning=in_reasoning)
    return writer.calls_where_begun(callable_, in_reasoning=in_reasoning) if callable_ else None


class _Writer:
    def __init__(
        self, declaration: Declaration, delimiters: Delimiters, *, is_parallel: bool
    ) -> None:
        self._declaration = declaration
        self._delimiters = delimiters
        self._is_parallel = is_parallel
        self._rules = Rules()

    def whole_answer(
        self, tools: Sequence[Tool], content: str | None, *, in_reasoning: bool
    ) -> GrammarSource:
        """Return the grammar of calls to `tools`, or of `content`, after free reasoning."""
        answers = [self._all_calls(tools)] if tools else []
        if content is not None:
            answers.append(self._rules.add("content", content))
        answer = self._rules.add("answer", alternatives(answers))
        start = sequence(self._free_reasoning(in_reasoning=in_reasoning), answer)
        return GrammarSource(self._rules.text(start))

    def calls_where_begun(self, tools: Sequence[Tool], *, in_reasoning: bool) -> GrammarSource:
        """Return the grammar of free text in which calls, once begun, fit their schemas."""
        calls = self._declaration.calls
        assert calls is not None
        token_id = self._delimiters.token_id(calls.begin)
        if token_id is not None:
            start = self._list(calls, tools) if calls.is_list else self._after(calls, tools)
            begins = frozenset({token_id})
            return GrammarSource(self._rules.text(start), begins, repeats=self._is_parallel)
        if calls.begin:
            answer = self._text_with_calls(calls, tools)
        else:
            answer = self._calls_or_text(calls, tools)
        start = sequence(self._free_reasoning(in_reasoning=in_reasoning), answer)
        return GrammarSource(self._rules.text(start))

    def _text_with_calls(self, calls: Calls, tools: Sequence[Tool]) -> str:
        """Return an answer in which a call begins wherever the text of `begin` stands."""
        before = text_before(calls.begin, ANY_TEXT, self._rules)
        after = self._list(calls, tools) if calls.is_list else self._after(calls, tools)
        call = self._rules.add("call", sequence(before, after))
        rest = self._text_other_than(f"/{ANY_TEXT}/ {literal(calls.begin)}")
        return f"{call}{'*' if self._is_parallel else '?'} {rest}"

    def _calls_or_text(self, calls: Calls, tools: Sequence[Tool]) -> str:
        """Return an answer that is calls if it begins as one."""
        tag = self._delimiters.token_id(calls.also_begin)
        begins = [literal(call_opening(calls.body, tool)) for tool in tools]
        reasoning = self._declaration.reasoning
        if reasoning is not None and self._delimiters.token_id(reasoning.open) is None:
            begins.append(literal(reasoning.open))
        text = self._text_other_than(alternatives(begins))
        made = sequence("" if tag is None else f"<[{tag}]>?", self._all_calls(tools))
        return self._rules.add("answer", alternatives([made, text]))

    def _text_other_than(self, beginning: str) -> str:
        """Return any text that does not begin as described."""
        return self._rules.add("TEXT", f"/{ANY_TEXT}/ & ~(({beginning}) /{ANY_TEXT}/)")

    def _all_calls(self, tools: Sequence[Tool]) -> str:
        calls = self._declaration.calls
        assert calls is not None
        begin = delimiter(calls.begin, self._delimiters) if calls.begin else ""
        if calls.is_list:
            return self._rules.add("calls", sequence(begin, self._list(calls, tools)))
        call = self._rules.add("call", sequence(begin, self._after(calls, tools)))
        return self._rules.add("calls", self._repeated(call, calls))

    def _list(self, calls: Calls, tools: Sequence[Tool]) -> str:
        item = self._rules.add("item", self._bodies(calls, tools))
        end = delimiter(calls.end, self._delimiters) if calls.end else ""
        return sequence(literal(calls.lead + "["), self._repeated(item, calls), literal("]"), end)

    def _after(self, calls: Calls, tools: Sequence[Tool]) -> str:
        """Return one call without its begin delimiter."""
        body = self._rules.add("body", self._bodies(calls, tools))
        end = delimiter(calls.end, self._delimiters) if calls.end else ""
        return sequence(literal(calls.lead), body, literal(calls.tail), end)

    def _repeated(self, call: str, calls: Calls) -> str:
        if not self._is_parallel:
            return call
        return f"{call} ({sequence(literal(calls.between), call)})*"

    def _bodies(self, calls: Calls, tools: Sequence[Tool]) -> str:
        return alternatives(
            write_body(calls.body, tool, self._delimiters, self._rules) for tool in tools
        )

    def _free_reasoning(self, *, in_reasoning: bool) -> str:
        reasoning = self._declaration.reasoning
        if reasoning is None:
            return ""
        close = delimiter(reasoning.close, self._delimiters)
        text = self._thought(reasoning.close, close)
        rest = sequence(text, literal(reasoning.gap))
        if in_reasoning:
            return self._rules.add("reasoning", rest)
        opening = delimiter(reasoning.open, self._delimiters)
        lead = literal(reasoning.lead)
        return self._rules.add("reasoning", sequence(opening, lead, rest)) + "?"

    def _thought(self, close: str, close_rule: str) -> str:
        """Return free text and the delimiter that ends it."""
        if self._delimiters.token_id(close) is None:
            return text_before(close, ANY_TEXT, self._rules)
        return sequence(self._rules.add("THOUGHT", f"/{ANY_TEXT}/"), close_rule)
