"""Guesses the tokens that come next, so that one step can check several at once.

Owns the guesses and how far they are trusted. Prompt lookup (Saxena 2023): the last few tokens
have often stood in this text before, and then what followed them follows again. It knows no
tensors, and a wrong guess costs time, never a different answer.
"""

from llm_service.engine.batched.sequence import DraftState, Sequence

_NGRAM = 3
_FIRST_LENGTH = 3
_MAX_LENGTH = 7  # with the token before them the rows that cost little more than one
_FIRST_PAUSE = 8
_MAX_PAUSE = 512
_PROBE_EVERY = 16


class PromptLookup:
    """Drafts get longer while they are right; after a wrong one there is a pause, which doubles.

    New sequences begin with the pause that the last wrong draft of any sequence left, so that
    drafting ends where it never helps. One sequence in 16 begins without, to find out when it
    helps again; one token that was right ends the pause of new sequences.
    """

    def __init__(self) -> None:
        self._first_pause = 0  # tokens that a new sequence waits
        self._num_sequences = 0

    def propose(self, sequence: Sequence, most: int) -> tuple[int, ...]:
        """Up to `most` tokens that may follow; empty where there is nothing to go by."""
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
        draft = ids[start : start + min(state.length, most)]
        period = len(draft)  # what ends where it began goes on from its beginning
        draft += [draft[i % period] for i in range(period, min(state.length, most))]
        return tuple(draft)

    def learn(self, sequence: Sequence, num_drafted: int, num_accepted: int) -> None:
        """A draft was checked; `sequence` has its new tokens already."""
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
