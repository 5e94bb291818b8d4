"""Whatever a model writes, a parser does not raise, and the cut of the answer does not matter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.engine.formats.declarations import BY_NAME
from tests.engine.formats.answers import TOOLS, cut, items, model_format, read

_WORDS: tuple[str, ...] = (
    "weather",
    "name",
    "arguments",
    "call:",
    "<function=",
    "<parameter=",
    "</parameter>",
)
_WORDS += ("</function>", '{"name": "weather", "arguments": ', '"', "\\", "{", "}", "[", "]", ",")
_WORDS += (":", ">", "\n", " ", "7", "é🙂", "null", "thought\n", "city", "`")
WITH_PARSERS = [name for name in BY_NAME if name != "plain"]


@pytest.mark.parametrize("name", WITH_PARSERS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_text_is_read_the_same_in_all_cuts(name: str, data: st.DataObject) -> None:
    model = model_format(name, has_tokens=data.draw(st.booleans()))
    delimiters = [f"«{each}»" for each in sorted(BY_NAME[name].delimiters)]
    text = "".join(data.draw(st.lists(st.sampled_from([*_WORDS, *delimiters]), max_size=14)))
    in_reasoning = model.has_reasoning and data.draw(st.booleans())
    parts = items(model, text)
    found = []
    for size in (1, data.draw(st.integers(2, 9)), len(parts) + 1):
        answer, _ = read(model.parser(TOOLS, in_reasoning=in_reasoning), cut(parts, size))
        answer.num_reasoning_tokens = 0  # of text delimiters, it is counted by chunks
        found.append(answer)
    assert found[0] == found[1] == found[2]
