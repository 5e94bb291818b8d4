"""The format of a model: its declaration, bound to the model's vocabulary."""

from collections.abc import Callable, Sequence

from llm_service.engine.answer import Parser, PlainText
from llm_service.engine.formats.declarations import PLAIN, Declaration
from llm_service.engine.formats.delimiters import NO_DELIMITERS, Delimiters
from llm_service.engine.formats.grammars import write_grammar
from llm_service.engine.formats.parser import FormatParser
from llm_service.engine.formats.tools import Tool, ToolChoice
from llm_service.engine.grammar import GrammarSource, ReasoningBudget

# More than the tokens that a template writes after the delimiter that opens reasoning.
_TAIL_TOKENS = 16


class ModelFormat:
    """How a model's answers are read, and what they may be. Fixed when the model is loaded."""

    def __init__(
        self,
        declaration: Declaration,
        delimiters: Delimiters = NO_DELIMITERS,
        decode: Callable[[Sequence[int]], str] = lambda ids: "",
        encode: Callable[[str], list[int]] = lambda text: [],
        notes: tuple[str, ...] = (),
    ) -> None:
        """`decode` and `encode` keep delimiters. `notes` are sentences for the operator."""
        self._declaration = declaration
        self.delimiters = delimiters
        self._decode = decode
        self._encode = encode
        self.notes = notes
        self.markers = frozenset(delimiters.ids.values())

    @property
    def name(self) -> str:
        return self._declaration.name

    @property
    def has_tools(self) -> bool:
        return self._declaration.calls is not None

    @property
    def has_reasoning(self) -> bool:
        return self._declaration.reasoning is not None

    def opens_reasoning(self, prompt_ids: Sequence[int]) -> bool:
        """Whether the prompt ends in reasoning, because the template has opened it.

        If the delimiter is a token, only a template can write it into a prompt.
        """
        reasoning = self._declaration.reasoning
        if reasoning is None:
            return False
        tail = list(prompt_ids[-_TAIL_TOKENS:])
        open_id = self.delimiters.token_id(reasoning.open)
        if open_id is None:
            text = self._decode(tail).rstrip()
            return text.endswith((reasoning.open + reasoning.lead).rstrip())
        if open_id not in tail:
            return False
        after = len(tail) - tail[::-1].index(open_id)
        return self._decode(tail[after:]).strip() == reasoning.lead.strip()

    def parser(self, tools: Sequence[Tool], *, in_reasoning: bool) -> Parser:
        """Return the parser of one answer."""
        if self._declaration == PLAIN:
            return PlainText()
        schemas = {tool.name: tool.parameters for tool in tools}
        return FormatParser(self._declaration, self.delimiters, schemas, in_reasoning=in_reasoning)

    def grammar(
        self,
        tools: Sequence[Tool],
        choice: ToolChoice,
        content: str | None,
        *,
        in_reasoning: bool,
    ) -> GrammarSource | None:
        """Return what an answer may be; None: anything.

        `content`: what the text of the answer may be, as the body of a rule of Lark, such as
        `%json {...}`; None: anything. A call that must be made leaves no room for content.
        """
        return write_grammar(
            self._declaration, self.delimiters, tools, choice, content, in_reasoning=in_reasoning
        )

    def reasoning_budget(self, max_tokens: int, *, in_reasoning: bool) -> ReasoningBudget | None:
        """Return the limit on reasoning; None: the engine cannot tell what is reasoning."""
        reasoning = self._declaration.reasoning
        if reasoning is None:
            return None
        open_id = self.delimiters.token_id(reasoning.open)
        close_id = self.delimiters.token_id(reasoning.close)
        if open_id is None or close_id is None:
            return None
        # Encoded after `open`, as some tokenizers put a space before the beginning of a text.
        whole = self._encode(reasoning.open + reasoning.tail + reasoning.close + reasoning.gap)
        return ReasoningBudget(max_tokens, tuple(whole[1:]), in_reasoning, open_id, close_id)
