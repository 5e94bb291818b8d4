"""Guessed tokens make answers come sooner and never change them."""

from dataclasses import replace

import pytest
from transformers import PreTrainedModel

from llm_service.engine.batched.drafts import PromptLookup
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.loading import factory
from llm_service.engine.observer import StepStats
from llm_service.engine.request import FinishReason, SamplingParams
from tests.engine.cores import make_core, make_sequence, output, run_to_end
from tests.engine.models import CONFIGS, FUSED, VOCAB_SIZE, fresh_model, served_model

SENTENCE = tuple(range(20, 32))


def sequence_of(*token_ids: int) -> Sequence:
    return make_sequence(token_ids)


def say(sequence: Sequence, *token_ids: int) -> None:
    for token_id in token_ids:
        sequence.record_token(token_id)


def test_what_followed_the_last_three_tokens_before_is_proposed():
    assert PromptLookup().propose(sequence_of(1, 2, 3, 4, 5, 6, 1, 2, 3), 7) == (4, 5, 6)
    assert PromptLookup().propose(sequence_of(1, 2, 3, 4, 5, 6, 1, 2, 3), 2) == (4, 5)


def test_what_ends_where_it_began_is_proposed_to_go_on():
    sequence, drafter = sequence_of(1, 2, 1, 2, 1, 2), PromptLookup()
    assert drafter.propose(sequence, 7) == (1, 2, 1)
    drafter.learn(sequence, 3, 3)
    assert drafter.propose(sequence, 7) == (1, 2, 1, 2, 1, 2, 1)
    assert PromptLookup().propose(sequence_of(7, 7, 7, 7), 7) == (7, 7, 7)


def test_the_latest_occurrence_counts():
    assert PromptLookup().propose(sequence_of(1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3), 1) == (5,)


@pytest.mark.parametrize("token_ids", [(1,), (1, 2, 3), (1, 2, 3, 4, 5, 6), (9, 2, 3, 1, 2, 3)])
def test_nothing_is_proposed_for_what_was_never_seen(token_ids):
    assert PromptLookup().propose(sequence_of(*token_ids), 7) == ()


def test_output_is_looked_up_as_well():
    sequence, drafter = sequence_of(1, 2, 3), PromptLookup()
    assert drafter.propose(sequence, 7) == ()
    say(sequence, 4, 1, 2, 3)
    assert drafter.propose(sequence, 7) == (4, 1, 2)


def test_drafts_get_longer_while_they_are_right():
    sequence, drafter = sequence_of(*range(20), *range(8)), PromptLookup()
    assert len(drafter.propose(sequence, 99)) == 3
    say(sequence, 8, 9, 10, 11)
    drafter.learn(sequence, 3, 3)
    assert drafter.propose(sequence, 99) == tuple(range(12, 19))


def test_after_a_wrong_draft_there_is_a_pause_which_doubles():
    sequence, drafter = sequence_of(1, 2, 3, 4, 1, 2, 3), PromptLookup()
    pauses = []
    for _ in range(3):
        assert drafter.propose(sequence, 7)
        drafter.learn(sequence, 3, 0)
        before = len(sequence.token_ids)
        while not drafter.propose(sequence, 7):
            say(sequence, 4, 1, 2, 3)
        pauses.append(len(sequence.token_ids) - before)
    assert pauses == [8, 16, 32]


def proposes(drafter: PromptLookup, num_accepted: int) -> bool:
    """Whether a new sequence of 40 tokens gets a draft; if so, `num_accepted` of it are right."""
    sequence = sequence_of(1, 2, 3, 4, 1, 2, 3)
    drafted = 0
    while not drafted and len(sequence.token_ids) < 40:
        say(sequence, 4, 1, 2, 3)
        drafted = len(drafter.propose(sequence, 7))
    if drafted:
        drafter.learn(sequence, drafted, num_accepted)
    return drafted > 0


def test_where_drafts_are_never_right_short_answers_soon_get_none_but_for_a_probe():
    drafter = PromptLookup()
    found = [proposes(drafter, num_accepted=0) for _ in range(64)]
    assert 1 <= sum(found[:16]) <= 6
    assert sum(found[16:]) == 3


def test_a_probe_that_is_right_brings_the_drafts_back():
    drafter = PromptLookup()
    while proposes(drafter, num_accepted=0):
        pass
    while not proposes(drafter, num_accepted=1):
        pass
    assert proposes(drafter, num_accepted=1)


def greedy(max_tokens: int) -> SamplingParams:
    return SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)


SAMPLED = SamplingParams(max_tokens=60, temperature=0.7, top_k=3, seed=11, ignore_eos=True)


@pytest.mark.parametrize("sampling", [greedy(60), SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("architecture", [*CONFIGS, *FUSED])
def test_answers_are_the_same_with_and_without(architecture, sampling):
    model, answers, num_steps = served_model(architecture), [], []
    for speculation in ("none", "prompt_lookup"):
        core = make_core(model, speculation=speculation)
        sequences = [make_sequence(SENTENCE * 3, sampling), make_sequence(SENTENCE, sampling)]
        for sequence in sequences:
            core.add(sequence)
        num_steps.append(len(run_to_end(core)))
        answers.append([output(sequence) for sequence in sequences])
    assert answers[0] == answers[1]
    assert num_steps[1] <= num_steps[0]


def repetitive_model() -> PreTrainedModel:
    """Its next token follows from the last one alone, so that it soon runs in a circle."""
    model = fresh_model("llama")
    for layer in model.get_decoder().layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            projection.weight.data.zero_()
    return model


def test_right_guesses_save_steps_and_are_counted():
    core = make_core(repetitive_model())
    sequence = make_sequence(SENTENCE, greedy(150))
    core.add(sequence)
    results = run_to_end(core)
    num_drafted = sum(result.stats.num_draft_tokens for result in results)
    num_accepted = sum(result.stats.num_accepted_draft_tokens for result in results)
    assert 50 < num_accepted <= num_drafted
    assert len(results) == 150 - num_accepted
    assert sequence.usage.num_output_tokens == 150 == len(output(sequence))
    assert sum(result.stats.num_output_tokens for result in results) == 150


def test_a_draft_never_runs_past_the_last_token_allowed():
    for max_tokens in range(1, 40):
        core = make_core(served_model("llama"))
        sequence = make_sequence(SENTENCE * 3, greedy(max_tokens))
        core.add(sequence)
        run_to_end(core)
        assert len(output(sequence)) == max_tokens
        assert sequence.finish_reason is FinishReason.LENGTH


def test_drafts_take_no_blocks_that_others_need():
    """Drafts change neither the number of preemptions nor the answers."""
    found = []
    for speculation in ("none", "prompt_lookup"):
        core = make_core(
            repetitive_model(), num_blocks=19, prefix_cache=False, speculation=speculation
        )
        sequences = [make_sequence(SENTENCE * 2, greedy(40)) for _ in range(2)]
        for sequence in sequences:
            core.add(sequence)
        stats = [result.stats for result in run_to_end(core)]
        num_preemptions = sum(s.num_preemptions for s in stats)
        found.append((num_preemptions, [output(sequence) for sequence in sequences]))
    assert sum(s.num_draft_tokens for s in stats) > 0
    assert found[0] == found[1]


def test_min_tokens_holds_within_a_draft():
    answers = []
    for speculation in ("none", "prompt_lookup"):
        core = make_core(repetitive_model(), speculation=speculation)
        free = make_sequence(SENTENCE, greedy(60))
        core.add(free)
        run_to_end(core)
        stop = output(free)[-1]  # in a circle, so it came long before, too
        sampling = replace(greedy(60), stop_token_ids=(stop,), min_tokens=25)
        core.add(held := make_sequence(SENTENCE, sampling))
        results = run_to_end(core)
        answers.append(output(held))
    assert answers[0] == answers[1]
    assert stop not in answers[0][:24]
    assert sum(result.stats.num_accepted_draft_tokens for result in results) > 0


class Oracle:
    """Knows the answer, and spoils every fifth token of it."""

    def __init__(self, answer: tuple[int, ...]) -> None:
        self._answer = answer

    def propose(self, sequence: Sequence, max_tokens: int) -> tuple[int, ...]:
        start = sequence.num_output_tokens
        end = min(start + 3 + start % 3, start + max_tokens)
        return tuple(
            (token_id + (i % 5 == 4)) % VOCAB_SIZE
            for i, token_id in enumerate(self._answer[start:end], start)
        )

    def learn(self, sequence: Sequence, num_drafted: int, num_accepted: int) -> None:
        pass


PENALIZED = [
    replace(greedy(60), frequency_penalty=0.2),
    replace(greedy(60), presence_penalty=0.7, num_logprobs=2),
    replace(greedy(60), presence_penalty=-0.5, frequency_penalty=0.1),
    replace(greedy(60), repetition_penalty=1.05),
    replace(SAMPLED, frequency_penalty=0.3, repetition_penalty=1.1),
]


@pytest.mark.parametrize("sampling", PENALIZED)
@pytest.mark.parametrize("architecture", [*CONFIGS, *FUSED])
def test_penalized_answers_are_the_same_with_right_and_wrong_drafts(
    architecture, sampling, monkeypatch
):
    def run() -> tuple[Sequence, list[StepStats]]:
        core = make_core(served_model(architecture))
        core.add(sequence := make_sequence(SENTENCE * 3, sampling))
        return sequence, [result.stats for result in run_to_end(core)]

    monkeypatch.setattr(factory, "choose_drafter", lambda config: None)
    plain, _ = run()
    monkeypatch.setattr(factory, "choose_drafter", lambda config: Oracle(output(plain)))
    drafted, stats = run()
    assert output(drafted) == output(plain)
    num_drafted = sum(s.num_draft_tokens for s in stats)
    num_accepted = sum(s.num_accepted_draft_tokens for s in stats)
    assert 10 < num_accepted < num_drafted


@pytest.mark.parametrize("sampling", PENALIZED)
def test_penalized_answers_are_the_same_with_prompt_lookup(sampling):
    answers = []
    for speculation in ("none", "prompt_lookup"):
        core = make_core(repetitive_model(), speculation=speculation)
        core.add(sequence := make_sequence(SENTENCE * 3, replace(sampling, max_tokens=120)))
        stats = [result.stats for result in run_to_end(core)]
        answers.append(output(sequence))
    assert answers[0] == answers[1]
    if sampling.is_greedy:
        assert sum(s.num_accepted_draft_tokens for s in stats) > 0
