"""How families of models write reasoning and tool calls, as data.

The parser of a stream, the grammar and the choice of a format all read these declarations; they
have no code of their own for a family. Whitespace is declared as the families' chat templates
write it. The grammar writes exactly that; the parser accepts any whitespace.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Reasoning as `open` `lead` text `tail` `close` `gap`, before the answer."""

    open: str = "<think>"
    close: str = "</think>"
    lead: str = "\n"
    tail: str = "\n"
    gap: str = "\n\n"


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A JSON object with the name and the arguments: `{"name": "f", "arguments": {"x": 1}}`."""

    name_key: str = "name"
    arguments_key: str = "arguments"


@dataclass(frozen=True, slots=True)
class NamedBody:
    """The name, `separator`, then the arguments as a JSON object: `f[ARGS]{"x": 1}`."""

    separator: str = "[ARGS]"
    id_separator: str = "[CALL_ID]"


@dataclass(frozen=True, slots=True)
class XmlBody:
    """One element per argument. Values that are not strings are JSON, strings stand as they are.

    `<function=f>`, then `<parameter=x>`, value, `</parameter>` for each, and `</function>`, each on
    its own line.
    """


@dataclass(frozen=True, slots=True)
class GemmaBody:
    """`call:f{key:value}`: JSON with bare keys, and with `quote` around strings."""

    prefix: str = "call:"
    quote: str = '<|"|>'


Body = JsonBody | NamedBody | XmlBody | GemmaBody


@dataclass(frozen=True, slots=True)
class Calls:
    """A call as `begin` `lead` body `tail` `end`, and `between` two calls.

    begin: empty if the body's own first character begins a call; such a call begins the answer.
    also_begin: another delimiter that models write before a call, though templates do not.
    is_list: one `begin` and `end` for all calls, which stand in a JSON list.
    """

    body: Body
    begin: str
    end: str = ""
    lead: str = ""
    tail: str = ""
    between: str = ""
    also_begin: str = ""
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """A format: its name, and how it writes reasoning and calls, if it does."""

    name: str
    reasoning: Reasoning | None = None
    calls: Calls | None = None

    @property
    def delimiters(self) -> frozenset[str]:
        """All texts that may be single tokens."""
        found = []
        if self.reasoning is not None:
            found += [self.reasoning.open, self.reasoning.close]
        if self.calls is not None:
            found += [self.calls.begin, self.calls.also_begin, self.calls.end]
            match self.calls.body:
                case NamedBody(separator, id_separator):
                    found += [separator, id_separator]
                case GemmaBody(quote=quote):
                    found.append(quote)
        return frozenset(filter(None, found))


THINK = Reasoning()
THINK_IN_BRACKETS = Reasoning("[THINK]", "[/THINK]", "", "", "")
THOUGHT_CHANNEL = Reasoning("<|channel>", "<channel|>", "thought\n", "\n", "")
REASONINGS = (THINK, THINK_IN_BRACKETS, THOUGHT_CHANNEL)

PLAIN = Declaration("plain")
REASONING_ONLY = Declaration("reasoning", THINK)
HERMES = Declaration(
    "hermes",
    THINK,
    Calls(JsonBody(), "<tool_call>", "</tool_call>", lead="\n", tail="\n", between="\n"),
)
QWEN_XML = Declaration(
    "qwen_xml",
    THINK,
    Calls(XmlBody(), "<tool_call>", "</tool_call>", lead="\n", tail="\n", between="\n"),
)
LLAMA_JSON = Declaration(
    "llama_json",
    THINK,
    Calls(JsonBody("name", "parameters"), "", between="; ", also_begin="<|python_tag|>"),
)
MISTRAL = Declaration("mistral", THINK_IN_BRACKETS, Calls(NamedBody(), "[TOOL_CALLS]"))
MISTRAL_LIST = Declaration(
    "mistral_list",
    THINK_IN_BRACKETS,
    Calls(JsonBody(), "[TOOL_CALLS]", is_list=True, between=", "),
)
GRANITE = Declaration(
    "granite", THINK, Calls(JsonBody(), "<|tool_call|>", is_list=True, between=", ")
)
GEMMA = Declaration("gemma", THOUGHT_CHANNEL, Calls(GemmaBody(), "<|tool_call>", "<tool_call|>"))

# The first that a chat template writes is chosen, so special cases stand before general ones.
DECLARATIONS = (
    QWEN_XML,
    HERMES,
    MISTRAL,
    MISTRAL_LIST,
    GRANITE,
    GEMMA,
    LLAMA_JSON,
    REASONING_ONLY,
    PLAIN,
)
BY_NAME = {declaration.name: declaration for declaration in DECLARATIONS}
# For models whose template has nothing about calls, by how `model_type` begins.
MODEL_TYPES = {
    ("qwen3_5", "qwen3_next_coder"): QWEN_XML,
    ("qwen2", "qwen3", "smollm3"): HERMES,
    ("mistral", "ministral"): MISTRAL,
    ("granite",): GRANITE,
    ("gemma4",): GEMMA,
}
