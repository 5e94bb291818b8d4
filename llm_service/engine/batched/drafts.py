"""Drafts the tokens that may come next, so that one step can check several at once.

Owns the drafts and the decision when to make them. It knows no tensors. A wrong draft costs
time and never changes an answer.
"""

from typing import Protocol

from llm_service.engine.batched.sequence import DraftState, Sequence

_NGRAM = 3
_FIRST_LENGTH = 3
_MAX_LENGTH = 7  # eight rows, with the token before the draft, cost little more than one
_FIRST_PAUSE = 8
_MAX_PAUSE = 512
_PROBE_EVERY = 16


class Drafter(Protocol):
    """Proposes drafts and hears how many of their tokens were accepted."""

    def propose(self, sequence: Sequence, max_tokens: int) -> tuple[int, ...]:
        """Return up to `max_tokens` tokens that may follow the sequence; empty for no draft."""

    def learn(self, sequence: Sequence, num_drafted: int, num_accepted: int) -> None:
        """Take note that the first `num_accepted` of `num_drafted` tokens were accepted.

        `sequence` already contains the tokens that the step produced.
        """


class PromptLookup:
    """Drafts what followed the last few tokens where they occurred before (Saxena 2023).

    Drafts grow while all their tokens are accepted. After a draft of which none is accepted,
    the sequence gets no draft for a number of tokens, which doubles each time.

    A new sequence begins with the pause that the last rejected draft of any sequence left, so
    drafting stops where it never helps. One new sequence in 16 begins without a pause, to find
    out when drafts help again; one accepted token ends the pause for new sequences.
    """

    def __init__(self) -> None:
        self._first_pause = 0  # tokens that a new sequence waits
        self._num_sequences = 0

    def propose(self, sequence: Sequence, max_tokens: int) -> tuple[int, ...]:
        """Return up to `max_tokens` tokens; empty where the last tokens never occurred before."""
        ids = sequence.token_ids
        state = sequence.draft_state
        if state is None:
            state = sequence.draft_state = self._new_state(len(ids))
        for position in range(state.num_indexed, len(ids)):
            state.positions[tuple(ids[position - _NGRAM : position])] = position
        state.num_indexed = max(state.num_indexed, len(ids))
        if len(ids) < state.resumes_at:
            return ()
        start = state.positions.get(tuple(ids[-_NGRAM:]))
        if start is None:
            return ()
        length = min(state.length, max_tokens)
        draft = ids[start : start + length]
        period = len(draft)  # a draft that reaches the end of the text repeats from its beginning
        draft += [draft[i % period] for i in range(period, length)]
        return tuple(draft)

    def learn(self, sequence: Sequence, num_drafted: int, num_accepted: int) -> None:
        """Adapt length and pause to how many tokens of the last draft were accepted."""
        state = sequence.draft_state
        assert state is not None
        if num_accepted:
            self._first_pause = 0
        else:
            self._first_pause = min(max(_FIRST_PAUSE, 2 * self._first_pause), _MAX_PAUSE)
        if num_accepted == num_drafted:
            state.length, state.pause = min(2 * state.length + 1, _MAX_LENGTH), _FIRST_PAUSE
        elif num_accepted:
            state.length = max(num_accepted, _FIRST_LENGTH)
        else:
            state.length = _FIRST_LENGTH
            state.resumes_at = len(sequence.token_ids) + state.pause
            state.pause = min(2 * state.pause, _MAX_PAUSE)

    def _new_state(self, num_tokens: int) -> DraftState:
        self._num_sequences += 1
        pause = self._first_pause if self._num_sequences % _PROBE_EVERY else 0
        return DraftState(_NGRAM, _FIRST_LENGTH, _FIRST_PAUSE, resumes_at=num_tokens + pause)
