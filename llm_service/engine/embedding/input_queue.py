"""Decides which inputs the next step embeds. It knows nothing of tensors.

Inputs of similar length go together, because a step computes every input at the length of its
longest. Requests take turns, so that a single question does not wait for a large import.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator

from llm_service.engine.batched.sequence import Sequence

# An input goes with a longer one if at least this share of its row is no padding.
_LEAST_SHARE = 0.75


class InputQueue:
    """The inputs that wait, by request. A request's inputs share their id up to the last dash."""

    def __init__(self, max_inputs: int) -> None:
        """A batch has at most `max_inputs` inputs."""
        self._max_inputs = max_inputs
        self._requests: dict[str, list[Sequence]] = {}  # each by length; the next request first

    def __len__(self) -> int:
        return sum(map(len, self._requests.values()))

    def __iter__(self) -> Iterator[Sequence]:
        return (sequence for inputs in self._requests.values() for sequence in inputs)

    def add(self, sequence: Sequence) -> None:
        insort(self._requests.setdefault(_request_id(sequence), []), sequence, key=_length)

    def remove(self, sequence: Sequence) -> None:
        name = _request_id(sequence)
        self._requests[name].remove(sequence)
        if not self._requests[name]:
            del self._requests[name]

    def next_batch(self, max_tokens: int) -> list[Sequence]:
        """Take out the longest input of the request whose turn it is, and others that go with it.

        A batch has at least one input. More are added while the inputs, padded to the length of
        the longest, have at most `max_tokens` tokens. That request's inputs come first.
        """
        name = next(iter(self._requests))
        longest = _length(self._requests[name][-1])
        size = max(1, min(self._max_inputs, max_tokens // longest))
        batch: list[Sequence] = []
        for inputs in self._requests.values():
            batch += _take(inputs, longest, size - len(batch))
            if len(batch) == size:
                break
        served = self._requests.pop(name)
        self._requests = {key: inputs for key, inputs in self._requests.items() if inputs}
        if served:
            self._requests[name] = served  # at the end
        return batch


def _take(inputs: list[Sequence], longest: int, count: int) -> list[Sequence]:
    """Take up to `count` inputs out of the list, the longest first, that go with `longest`."""
    end = bisect_right(inputs, longest, key=_length)
    start = end
    while start and end - start < count and _length(inputs[start - 1]) >= _LEAST_SHARE * longest:
        start -= 1
    taken = inputs[start:end]
    del inputs[start:end]
    return taken[::-1]


def _length(sequence: Sequence) -> int:
    return sequence.num_prompt_tokens


def _request_id(sequence: Sequence) -> str:
    return sequence.request.request_id.rpartition("-")[0]
