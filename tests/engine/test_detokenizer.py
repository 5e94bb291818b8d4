"""Text that comes token by token is the text that comes at once, and stop strings end it."""

from itertools import accumulate

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_service.engine.batched.detokenizer import Detokenizer
from tests.engine import tokenizers

KINDS = [tokenizers.byte_level, tokenizers.sentencepiece, tokenizers.pocket]
# Words, half-known scripts, emoji of several code points, and what stops are made of.
some_text = st.text(
    st.sampled_from("ab cé字書🙂👍🏽\u200d\n<|>\ufffd") | st.characters(exclude_categories=["Cs"])
)


def cut(items, sizes):
    """`items` in runs as long as `sizes` says, then one by one."""
    runs, rest = [], list(items)
    for size in sizes:
        runs.append(rest[:size])
        rest = rest[size:]
    return runs + [[item] for item in rest]


def streamed(tokenizer, token_ids, sizes=(), prompt=(), stop=()):
    """The pieces in order, the flushed one last, and the stop string that was met."""
    detokenizer = Detokenizer(tokenizer, prompt, stop)
    pieces = []
    for run in cut(token_ids, sizes):
        found = detokenizer.feed(run)
        pieces.append(found.text)
        if found.is_stopped:
            return pieces, found.stop
    return [*pieces, detokenizer.flush()], None


def expected_stop(text, stop):
    """The text before the stop string that is complete first, the longest of these."""
    found = [(text.find(s) + len(s), text.find(s), s) for s in stop if s in text]
    return (text[: min(found)[1]], min(found)[2]) if found else (text, None)


@pytest.mark.parametrize("kind", KINDS)
@given(some_text, st.lists(st.integers(0, 5), max_size=8))
@example("0\x8000𐀀\x80\x80𐀀", [3, 4, 1, 5, 2])
@settings(deadline=None, max_examples=60)
def test_streamed_text_is_the_text_decoded_at_once(kind, text, sizes):
    tokenizer = kind()
    ids = tokenizer.encode(text, add_special_tokens=False)
    pieces, _ = streamed(tokenizer, ids, sizes)
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("kind", [tokenizers.byte_level, tokenizers.pocket])
@given(st.data(), st.lists(st.integers(0, 5), max_size=8))
@settings(deadline=None, max_examples=100)
def test_any_tokens_at_all_stream_to_what_they_decode_to(kind, data, sizes):
    tokenizer = kind()
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=60))
    pieces, _ = streamed(tokenizer, ids, sizes)
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("kind", KINDS)
@given(some_text, some_text)
@settings(deadline=None, max_examples=60)
def test_text_goes_on_from_the_prompt(kind, before, after):
    tokenizer = kind()
    prompt = tokenizer.encode("a prompt " + before, add_special_tokens=False)
    answer = tokenizer.encode(after, add_special_tokens=False)
    pieces, _ = streamed(tokenizer, answer, prompt=prompt)
    whole = tokenizer.decode(prompt + answer)
    if not tokenizer.decode(prompt).endswith("\ufffd"):
        assert "".join(pieces) == whole[len(tokenizer.decode(prompt)) :]


@pytest.mark.parametrize("kind", KINDS)
def test_a_character_of_several_tokens_comes_whole(kind):
    tokenizer = kind()
    for text in ("字", "🙂", "\U0001f9d1\u200d\U0001f680"):
        ids = tokenizer.encode("x" + text, add_special_tokens=False)
        pieces, _ = streamed(tokenizer, ids)
        assert len(ids) > len(text)
        assert not any("\ufffd" in piece for piece in pieces)
        assert "".join(pieces) == "x" + text


@pytest.mark.parametrize("kind", KINDS)
@given(some_text.map(lambda text: text.replace("\ufffd", "")))
@settings(deadline=None, max_examples=60)
def test_each_token_begins_where_the_whole_characters_before_it_end(kind, text):
    tokenizer = kind()
    ids = tokenizer.encode(text, add_special_tokens=False)
    detokenizer = Detokenizer(tokenizer, ())
    begins = []
    for token_id in ids:
        begins.append(detokenizer.num_characters)
        detokenizer.feed([token_id])
    decoded = [tokenizer.decode(ids[:i], skip_special_tokens=True) for i in range(len(ids))]
    # Some decoders spoil what comes before half a character; it has been shown by then.
    assert begins == list(accumulate((len(text.rstrip("\ufffd")) for text in decoded), max))


def test_an_incomplete_character_is_shown_only_at_the_end():
    tokenizer = tokenizers.byte_level()
    ids = tokenizer.encode("a🙂")[:-1]
    pieces, _ = streamed(tokenizer, ids)
    assert pieces[-1] == "\ufffd"
    assert "".join(pieces[:-1]) == "a"


def test_control_tokens_are_not_shown_but_tool_calls_are():
    tokenizer = tokenizers.pocket()
    ids = tokenizer.encode("<|im_start|><tool_call>x</tool_call><|im_end|>")
    pieces, _ = streamed(tokenizer, ids)
    assert "".join(pieces) == "<tool_call>x</tool_call>"


stops = st.lists(st.text(st.sampled_from("ab c"), min_size=1, max_size=4), max_size=3)


@given(st.text(st.sampled_from("ab c"), max_size=40), stops, st.lists(st.integers(0, 5)))
@example("xabcd", ["abcd", "bc"], [])
@settings(deadline=None, max_examples=300)
def test_a_stop_string_ends_the_text_wherever_tokens_begin_and_end(text, stop, sizes):
    tokenizer = tokenizers.byte_level()
    ids = tokenizer.encode(text)
    pieces, met = streamed(tokenizer, ids, sizes, stop=tuple(stop))
    assert ("".join(pieces), met) == expected_stop(text, stop)


def test_what_may_become_a_stop_string_is_held_back_and_no_more():
    tokenizer = tokenizers.byte_level()
    detokenizer = Detokenizer(tokenizer, (), ("STOP",))
    shown = [detokenizer.feed(tokenizer.encode(char)).text for char in "aSTxSTO"]
    assert shown == ["a", "", "", "STx", "", "", ""]
    assert detokenizer.flush() == "STO"


class Counting:
    """Counts the tokens that are decoded."""

    def __init__(self, tokenizer):
        self._backend = tokenizer.backend_tokenizer
        self.num_decoded = 0

    def decode(self, token_ids, skip_special_tokens=False):
        self.num_decoded += len(token_ids)
        return self._backend.decode(token_ids, skip_special_tokens=skip_special_tokens)


@pytest.mark.parametrize("text", ["word ", "字🙂", "\x80"])
def test_the_work_per_token_does_not_grow_with_the_text(text):
    tokenizer = tokenizers.byte_level()
    token_ids = tokenizer.encode(text) * 500
    eos = [tokenizer.eos_token_id] * 500
    lone_bytes = [tokenizer.convert_tokens_to_ids("Ģ")] * 500  # the byte 0x80, as text never has it
    counting = Counting(tokenizer)
    assert streamed(counting, token_ids + eos + lone_bytes)[0][-1] != ""
    assert counting.num_decoded < 40 * (len(token_ids) + 1000)
