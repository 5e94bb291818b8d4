"""Grammars restrict answers: what is complete is valid, and nobody else notices."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import jsonschema_rs
import pytest
from llguidance import LLMatcher, LLTokenizer

from llm_service.engine import grammar_compiler
from llm_service.engine.batched.core import EngineCore
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.grammar import GrammarSource, ReasoningBudget
from llm_service.engine.grammar_compiler import CompiledGrammar, GrammarCompiler
from llm_service.engine.observer import StepStats
from llm_service.engine.request import FinishReason, GenerationChunk, SamplingParams
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.errors import InvalidRequest
from tests.engine.cores import output, run_to_end
from tests.engine.grammars import (
    VOCABULARIES,
    compiler,
    loaded,
    make_core,
    random_schema,
    sequence_of,
    vocabulary,
)

DRAWN = SamplingParams(max_tokens=150, temperature=1.0, seed=5)
GREEDY = replace(DRAWN, temperature=0.0, seed=None)
every_vocabulary = pytest.mark.parametrize("kind", VOCABULARIES)
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "kind": {"enum": ["customer", "customs officer"]},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "kind", "age"],
    "additionalProperties": False,
}


def compile_lark(kind: str, text: str, **options: Any) -> CompiledGrammar:
    async def compiled() -> CompiledGrammar:
        return await compiler(kind).compile(GrammarSource(text, **options))

    return asyncio.run(compiled())


def of_schema(kind: str, schema: Any) -> CompiledGrammar:
    return compile_lark(kind, f"start: %json {json.dumps(schema)}")


def run(core: EngineCore, *sequences: Sequence) -> list[StepStats]:
    for sequence in sequences:
        core.add(sequence)
    chunks: dict[Sequence, list[GenerationChunk]] = {sequence: [] for sequence in sequences}
    stats = []
    for result in run_to_end(core):
        stats.append(result.stats)
        for delivery in result.deliveries:
            if isinstance(delivery.event, GenerationChunk):
                chunks[delivery.sequence].append(delivery.event)
    TEXTS.update({s: "".join(c.text for c in found) for s, found in chunks.items()})
    return stats


TEXTS: dict[Sequence, str] = {}  # of the sequences that `run` ran


def is_beginning(text: str, schema: Any) -> bool:
    """Whether the text can go on to a whole answer, told by its bytes alone."""
    layout = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    grammar = "start: %json " + json.dumps({"x-guidance": layout, **schema})
    matcher = LLMatcher(LLTokenizer("byte"), grammar, log_level=0)
    raw = text.encode()
    return matcher.try_consume_tokens(list(raw)) == len(raw)


def check_answer(sequence: Sequence, schema: Any) -> None:
    text = TEXTS[sequence]
    assert sequence.error is None
    if sequence.finish_reason is FinishReason.STOP:
        assert jsonschema_rs.is_valid(schema, json.loads(text), validate_formats=True), text
    else:
        assert sequence.finish_reason is FinishReason.LENGTH
        # a character that is cut off in its middle is shown as U+FFFD
        assert is_beginning(text.rstrip("\N{REPLACEMENT CHARACTER}"), schema), text


def check_random_schemas(kind: str, seeds: Iterable[int]) -> None:
    core, answers = make_core(kind, speculation="prompt_lookup"), []
    for seed in seeds:
        schema = random_schema(random.Random(seed))
        sampling = replace(DRAWN, seed=seed) if seed % 3 else GREEDY
        answers.append((sequence_of(kind, of_schema(kind, schema), sampling), schema))
    run(core, *(sequence for sequence, _ in answers))
    for sequence, schema in answers:
        check_answer(sequence, schema)
    whole = [s for s, _ in answers if s.finish_reason is FinishReason.STOP]
    assert len(whole) > len(answers) / 2


@every_vocabulary
def test_every_complete_answer_is_valid(kind: str) -> None:
    check_random_schemas(kind, range(15))


@pytest.mark.slow
@every_vocabulary
def test_every_complete_answer_is_valid_in_500_schemas(kind: str) -> None:
    check_random_schemas(kind, range(1000, 1125))


@every_vocabulary
@pytest.mark.parametrize("sampling", [GREEDY, DRAWN, replace(DRAWN, top_p=0.9, top_k=40)])
def test_answers_are_the_same_whether_or_not_forced_tokens_are_sampled(
    kind: str, sampling: SamplingParams
) -> None:
    """A request for log-probabilities has every token sampled."""
    schemas = [random_schema(random.Random(seed)) for seed in range(100, 106)]
    found, num_forced = [], []
    for speculation in ("none", "prompt_lookup"):
        for num_logprobs in (None, 0):
            p = replace(sampling, num_logprobs=num_logprobs, max_tokens=60)
            sequences = [sequence_of(kind, of_schema(kind, schema), p) for schema in schemas]
            stats = run(make_core(kind, speculation=speculation), *sequences)
            found.append([(output(s), s.finish_reason, TEXTS[s]) for s in sequences])
            num_forced.append(sum(s.num_forced_tokens for s in stats))
    assert found[0] == found[1] == found[2] == found[3]
    assert num_forced[0] > 0
    assert num_forced[1] == 0


def test_forced_tokens_save_steps_and_are_counted_as_output() -> None:
    grammar = of_schema("pocket", PERSON)
    num_steps, num_output = [], []
    for num_logprobs in (None, 0):
        sequence = sequence_of("pocket", grammar, replace(GREEDY, num_logprobs=num_logprobs))
        stats = run(make_core("pocket"), sequence)
        num_steps.append(len(stats))
        num_output.append(sum(s.num_output_tokens for s in stats))
        assert sequence.usage.num_output_tokens == len(output(sequence)) == num_output[-1]
    assert num_steps[0] < num_steps[1] / 1.5
    assert num_output[0] == num_output[1]


def test_a_complete_answer_ends_with_its_last_token() -> None:
    sequence = sequence_of("pocket", of_schema("pocket", PERSON), GREEDY)
    run(make_core("pocket"), sequence)
    assert sequence.finish_reason is FinishReason.STOP
    assert TEXTS[sequence].endswith("}")
    assert output(sequence)[-1] not in loaded("pocket").eos_token_ids


def test_an_answer_that_is_forced_as_a_whole_takes_one_step() -> None:
    schema = {"const": {"all": ["of", "this", "is", "certain", "from the beginning"]}}
    sequence = sequence_of("pocket", of_schema("pocket", schema), DRAWN)
    assert len(run(make_core("pocket"), sequence)) == 1
    assert json.loads(TEXTS[sequence]) == schema["const"]
    assert sequence.finish_reason is FinishReason.STOP


@pytest.mark.parametrize("max_tokens", range(1, 12))
def test_forced_tokens_stop_at_max_tokens(max_tokens: int) -> None:
    sampling = replace(GREEDY, max_tokens=max_tokens)
    sequence = sequence_of("pocket", of_schema("pocket", PERSON), sampling)
    run(make_core("pocket"), sequence)
    assert len(output(sequence)) == max_tokens
    assert sequence.finish_reason is FinishReason.LENGTH
    assert is_beginning(TEXTS[sequence], PERSON)


def test_a_long_forced_text_is_computed_in_chunks_and_delays_no_other_answer() -> None:
    words = " ".join(str(i) for i in range(60))
    schema = {"type": "array", "prefixItems": [{"const": words}, {"enum": [1, 2]}], "minItems": 2}
    sampling = replace(GREEDY, max_tokens=400)
    long = sequence_of("pocket", of_schema("pocket", {**schema, "items": False}), sampling)
    other = sequence_of("pocket", None, replace(GREEDY, max_tokens=40, ignore_eos=True))
    expected = sequence_of("pocket", None, replace(GREEDY, max_tokens=40, ignore_eos=True))
    stats = run(make_core("pocket", max_batched_tokens=16), long, other)
    run(make_core("pocket"), expected)
    assert json.loads(TEXTS[long]) in ([words, 1], [words, 2])
    assert output(other) == output(expected)
    # after its prompt, the other answer has a token in every step
    assert len(stats) <= 40 + 2 + len(long.request.prompt) // 8


def test_constrained_answers_change_nobody_elses() -> None:
    def made() -> list[Sequence]:
        grammars = [
            None,
            of_schema("pocket", PERSON),
            None,
            compile_lark("pocket", "start: /[a-z]{3,9}/"),
        ]
        samplings = [GREEDY, DRAWN, replace(DRAWN, seed=8), replace(DRAWN, top_p=0.8)]
        pairs = zip(grammars, samplings, strict=True)
        return [sequence_of("pocket", g, replace(p, max_tokens=40)) for g, p in pairs]

    together = made()
    run(make_core("pocket"), *together)
    core = make_core("pocket")
    for alone, sequence in zip(made(), together, strict=True):
        run(core, alone)
        assert output(alone) == output(sequence)
        assert TEXTS[alone] == TEXTS[sequence]


def test_a_preempted_answer_goes_on_where_it_was() -> None:
    grammar = of_schema("pocket", {"type": "array", "items": PERSON, "minItems": 4})
    sampling = replace(DRAWN, max_tokens=90)
    plain = [sequence_of("pocket", grammar, replace(sampling, seed=i)) for i in range(8)]
    tight = [sequence_of("pocket", grammar, replace(sampling, seed=i)) for i in range(8)]
    run(make_core("pocket"), *plain)
    stats = run(make_core("pocket", num_blocks=65), *tight)
    assert [output(s) for s in tight] == [output(s) for s in plain]
    assert sum(s.num_preemptions for s in stats) > 0


@every_vocabulary
def test_forced_text_is_spelled_in_ordinary_tokens(kind: str) -> None:
    text = 'of "caf\u00e9s", 12 <s>s and <|im_end|>  \U0001f642'
    sequence = sequence_of(kind, compile_lark(kind, f"start: {json.dumps(text)}"), DRAWN)
    run(make_core(kind), sequence)
    words = vocabulary(kind)
    assert b"".join(map(words.token_bytes, output(sequence))) == text.encode()
    assert words.special_token_ids.isdisjoint(output(sequence))
    assert sequence.finish_reason is FinishReason.STOP


@every_vocabulary
def test_control_tokens_are_no_text_of_a_grammar(kind: str) -> None:
    tokens = loaded(kind).tokenizer.backend_tokenizer.get_added_tokens_decoder()
    control = {i for i, token in tokens.items() if "<" in token.content}
    bias = dict.fromkeys(control, 100.0)
    sampling = replace(DRAWN, max_tokens=30, logit_bias=bias)
    sequence = sequence_of(kind, compile_lark(kind, "start: /(.|\\n)+/"), sampling)
    run(make_core(kind), sequence)
    assert control & set(output(sequence)) <= loaded(kind).eos_token_ids


TOOL, END_TOOL = 4094, 4095  # of pocket
CALL = f"start: %json {json.dumps(PERSON)} <[{END_TOOL}]>"


def eager(*token_ids: int, **options: Any) -> SamplingParams:
    return replace(GREEDY, logit_bias=dict.fromkeys(token_ids, 30.0), **options)


def test_a_grammar_that_begins_after_a_token_leaves_the_rest_free() -> None:
    grammar = compile_lark("pocket", CALL, begins_after=frozenset({TOOL}))
    never = replace(GREEDY, max_tokens=40, logit_bias={TOOL: -100.0})
    free, bound = sequence_of("pocket", None, never), sequence_of("pocket", grammar, never)
    run(make_core("pocket"), free, bound)
    assert output(free) == output(bound)


def test_a_grammar_begins_after_its_token_and_repeats() -> None:
    grammar = compile_lark("pocket", CALL, begins_after=frozenset({TOOL}))
    sequence = sequence_of("pocket", grammar, eager(TOOL), markers=frozenset({TOOL, END_TOOL}))
    run(make_core("pocket"), sequence)
    ids = output(sequence)
    assert ids[0] == TOOL
    assert ids.count(TOOL) > 1
    assert sequence.finish_reason is FinishReason.LENGTH
    *whole, last = TEXTS[sequence].replace("}{", "}\n{").split("\n")
    assert whole
    for text in whole:
        assert jsonschema_rs.is_valid(PERSON, json.loads(text))
    assert is_beginning(last, PERSON)


def test_a_grammar_that_does_not_repeat_ends_the_answer() -> None:
    grammar = compile_lark("pocket", CALL, begins_after=frozenset({TOOL}), repeats=False)
    sequence = sequence_of("pocket", grammar, eager(TOOL))
    run(make_core("pocket"), sequence)
    ids = output(sequence)
    assert (ids[0], ids[-1]) == (TOOL, END_TOOL)
    assert sequence.finish_reason is FinishReason.STOP


OPEN, CLOSE = 4094, 4095
LINE_END = 202  # any token will do


def budget(max_tokens: int, *, begins_open: bool = True) -> ReasoningBudget:
    return ReasoningBudget(
        max_tokens, (LINE_END, CLOSE, LINE_END), begins_open, open_id=OPEN, close_id=CLOSE
    )


@pytest.mark.parametrize("speculation", ["none", "prompt_lookup"])
@pytest.mark.parametrize("max_tokens", [0, 1, 5, 17])
def test_reasoning_ends_when_its_budget_is_used_up(max_tokens: int, speculation: Any) -> None:
    sampling = replace(GREEDY, max_tokens=40, ignore_eos=True, logit_bias={CLOSE: -100.0})
    free = sequence_of("pocket", None, sampling)
    sequence = sequence_of("pocket", None, sampling, budget=budget(max_tokens))
    run(make_core("pocket", speculation=speculation), free, sequence)
    ids = output(sequence)
    assert ids[:max_tokens] == output(free)[:max_tokens]
    assert ids[max_tokens : max_tokens + 3] == (LINE_END, CLOSE, LINE_END)
    assert len(ids) == 40


def test_reasoning_that_ends_by_itself_is_left_alone() -> None:
    sequence = sequence_of("pocket", None, eager(CLOSE, max_tokens=20), budget=budget(5))
    free = sequence_of("pocket", None, eager(CLOSE, max_tokens=20))
    run(make_core("pocket"), sequence, free)
    assert output(sequence) == output(free)


def test_a_grammar_begins_when_the_budget_has_ended_the_reasoning() -> None:
    grammar = compile_lark(
        "pocket",
        f"start: %json {json.dumps(PERSON)}",
        begins_after=frozenset({CLOSE}),
        repeats=False,
    )
    sampling = replace(GREEDY, logit_bias={CLOSE: -100.0, 4093: -100.0, 4091: -100.0})
    sequence = sequence_of(
        "pocket", grammar, sampling, budget=budget(6), markers=frozenset({CLOSE})
    )
    run(make_core("pocket"), sequence)
    ids = output(sequence)
    assert ids[7] == CLOSE
    content = b"".join(map(vocabulary("pocket").token_bytes, ids[8:]))
    assert jsonschema_rs.is_valid(PERSON, json.loads(content))
    assert sequence.finish_reason is FinishReason.STOP


def test_a_grammar_that_contains_the_reasoning_lets_the_budget_end_it() -> None:
    text = f"start: REASONING <[{CLOSE}]> content\nREASONING: /(.|\\n)*/\n"
    grammar = compile_lark("pocket", f"{text}content: %json {json.dumps(PERSON)}")
    sampling = replace(GREEDY, logit_bias={CLOSE: -100.0})
    sequence = sequence_of("pocket", grammar, sampling, budget=budget(6))
    run(make_core("pocket"), sequence)
    ids = output(sequence)
    assert ids[7] == CLOSE
    content = b"".join(map(vocabulary("pocket").token_bytes, ids[8:]))
    assert jsonschema_rs.is_valid(PERSON, json.loads(content))


def test_the_grammar_wins_over_min_tokens_and_ignore_eos() -> None:
    sampling = replace(GREEDY, min_tokens=100, ignore_eos=True)
    for text in ("start: /[0-9]{1,3}/", 'start: "yes"'):
        sequence = sequence_of("pocket", compile_lark("pocket", text), sampling)
        run(make_core("pocket"), sequence)
        assert sequence.finish_reason is FinishReason.STOP
        assert len(output(sequence)) <= 4
        assert TEXTS[sequence] == "yes" or TEXTS[sequence].isdigit()


def test_a_bias_against_all_that_the_grammar_allows_leaves_it_the_answer() -> None:
    bias = dict.fromkeys(range(4090), -100.0)
    sequence = sequence_of("pocket", of_schema("pocket", PERSON), replace(GREEDY, logit_bias=bias))
    run(make_core("pocket"), sequence)
    check_answer(sequence, PERSON)


def test_stop_strings_and_stop_tokens_end_an_answer_within_its_grammar() -> None:
    grammar = of_schema("pocket", PERSON)
    by_text = sequence_of("pocket", grammar, replace(GREEDY, stop=('"kin',)))
    (colon,) = loaded("pocket").tokenizer.encode('":', add_special_tokens=False)
    by_token = sequence_of("pocket", grammar, replace(GREEDY, stop_token_ids=(colon,)))
    run(make_core("pocket"), by_text, by_token)
    assert TEXTS[by_text].startswith('{"name": "')
    assert TEXTS[by_text].endswith('", ')
    assert TEXTS[by_token] == '{"name'
    assert by_text.finish_reason is by_token.finish_reason is FinishReason.STOP


def test_penalties_keep_to_the_grammar() -> None:
    sampling = replace(DRAWN, frequency_penalty=2.0, presence_penalty=1.0, repetition_penalty=1.3)
    sequences = [
        sequence_of("pocket", of_schema("pocket", PERSON), replace(sampling, seed=i))
        for i in range(4)
    ]
    run(make_core("pocket"), *sequences)
    for sequence in sequences:
        check_answer(sequence, PERSON)


def test_log_probabilities_are_given_for_every_token() -> None:
    sequence = sequence_of("pocket", of_schema("pocket", PERSON), replace(GREEDY, num_logprobs=1))
    core = make_core("pocket")
    core.add(sequence)
    events = [d.event for result in run_to_end(core) for d in result.deliveries]
    chunks = [event for event in events if isinstance(event, GenerationChunk)]
    logprobs = [position for chunk in chunks for position in chunk.logprobs]
    assert [p.chosen.token_id for p in logprobs] == list(output(sequence))


IMPOSSIBLE = {
    "contains": {"type": "array", "contains": {"type": "string"}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "http://example.org/x": {"$ref": "http://example.org/x"},
    "zip": {"type": "string", "format": "zip"},
    "not": {"not": {"type": "string"}},
    "if": {"if": {"type": "string"}},
    "strin": {"type": "strin"},
}


@pytest.mark.parametrize("word", IMPOSSIBLE)
def test_what_no_grammar_can_express_is_refused_by_name(word: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        of_schema("pocket", IMPOSSIBLE[word])
    assert word in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "start: nowhere",
        "%json {",
        'start: "a',
        "start: %json 7",
        "start: %json {",
        "start: start",
        "x" * 2_000_000,
        "start: %json " + '{"items": ' * 100 + "{}" + "}" * 100,
        "start: %json " + "[" * 100_000,
        "start: <[999999]>",
    ],
    ids=lambda text: text[:20],
)
def test_a_source_that_is_not_possible_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        compile_lark("pocket", text)
    assert 10 < len(refused.value.message) < 500


def chain_of_rules(num_rules: int) -> str:
    rules = (f'r{i}: "a" r{i + 1}\n' for i in range(num_rules))
    return f'start: r0\n{"".join(rules)}r{num_rules}: "x"'


def chain_of_references(num_references: int) -> str:
    last = {f"a{num_references}": {"type": "string"}}
    links = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(num_references)}
    return json.dumps({"$ref": "#/$defs/a0", "$defs": {**links, **last}})


def nested_references(num_references: int, depth: int) -> str:
    def nested(i: int) -> str:
        return '{"items": ' * depth + f'{{"$ref": "#/$defs/a{i}"}}' + "}" * depth

    links = ", ".join(f'"a{i}": {nested(i + 1)}' for i in range(num_references))
    return f'{{"$ref": "#/$defs/a0", "$defs": {{{links}, "a{num_references}": {{}}}}}}'


@pytest.mark.parametrize(
    "text",
    [
        chain_of_rules(7_900),
        f"start: %json {chain_of_references(1_900)}",
        f"start: %json {nested_references(60, 60)}",
    ],
    ids=["rules", "references", "nested references"],
)
def test_long_paths_within_the_bound_do_not_overflow_the_stack(text: str) -> None:
    assert compile_lark("pocket", text)


@pytest.mark.parametrize(
    "text",
    [
        chain_of_rules(8_001),
        f"start: %json {chain_of_references(20_000)}",
        f"start: %json {nested_references(200, 60)}",
        # Python does not read these schemas, so their paths are estimated.
        f"start: %json // comment\n{chain_of_references(20_000)}",
        f'start: %json {chain_of_references(20_000)[:-1]}, "title": {"1" * 5_000}}}',
    ],
    ids=["rules", "references", "nested references", "comment", "digits"],
)
def test_paths_that_could_overflow_the_stack_are_refused(text: str) -> None:
    """A stack that overflows ends the process."""
    with pytest.raises(InvalidRequest, match="too many rules"):
        compile_lark("pocket", text)


def test_a_grammar_that_gets_too_costly_fails_its_answer_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grammar_compiler, "_MAX_LEXER_STATES", 40)
    costly = GrammarCompiler(vocabulary("pocket"), SealedTokenizer(loaded("pocket").tokenizer))
    schema = {"type": "array", "items": {"type": "string", "format": "uuid"}, "minItems": 3}
    source = GrammarSource(f"start: %json {json.dumps(schema)}")
    bad = sequence_of("pocket", asyncio.run(costly.compile(source)), DRAWN)
    good, expected = (sequence_of("pocket", None, GREEDY) for _ in range(2))
    run(make_core("pocket"), bad, good)
    run(make_core("pocket"), expected)
    assert isinstance(bad.error, InvalidRequest)
    assert "states" in bad.error.message
    assert output(bad)
    assert output(good) == output(expected)


def test_one_of_several_schemas_is_taken_for_any_of_them() -> None:
    kinds = [{"const": "cat"}, {"const": "dog"}]
    schema = {
        "oneOf": [{**PERSON, "properties": {**PERSON["properties"], "kind": k}} for k in kinds]
    }
    sequence = sequence_of("pocket", of_schema("pocket", schema), GREEDY)
    run(make_core("pocket"), sequence)
    check_answer(sequence, schema)


def test_a_grammar_is_compiled_once_and_kept() -> None:
    first, second = of_schema("pocket", PERSON), of_schema("pocket", PERSON)
    assert first._matcher is second._matcher


def test_llguidance_is_not_loaded_before_there_is_a_grammar() -> None:
    code = "import sys, llm_service.engine.loading.factory;sys.exit('llguidance' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
