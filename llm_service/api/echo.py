"""The parser of answers that begin with their prompt."""

import codecs
from collections.abc import Sequence
from dataclasses import replace

from llm_service.engine import GenerationChunk, PositionLogprobs
from llm_service.engine.answer import Delta, TextDelta


class Echo:
    """Puts `text`, the prompt, before the answer, and its log probabilities if there are any."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._prompt: list[PositionLogprobs] | None = []  # None: it has been sent

    def feed(self, chunk: GenerationChunk) -> list[Delta]:
        deltas: list[Delta] = []
        if self._prompt is not None:
            self._prompt += chunk.prompt_logprobs
            if not chunk.token_ids and chunk.finish_reason is None:
                return deltas
            deltas.append(TextDelta(self._text, tuple(_placed(self._prompt, self._text))))
            self._prompt = None
        if chunk.text or chunk.logprobs:
            deltas.append(TextDelta(chunk.text, tuple(map(self._shifted, chunk.logprobs))))
        return deltas

    def finish(self) -> list[Delta]:
        return []

    def _shifted(self, position: PositionLogprobs) -> PositionLogprobs:
        return replace(position, text_offset=position.text_offset + len(self._text))


def _placed(positions: Sequence[PositionLogprobs], text: str) -> list[PositionLogprobs]:
    """Return the positions of `text`, each with the number of characters before it.

    The tokens may begin with what is not in the text: BOS, or a space that the tokenizer adds.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    offsets = [0]
    for position in positions:
        offsets.append(offsets[-1] + len(decoder.decode(position.chosen.token_bytes)))
    num_extra = offsets[-1] - len(text)
    return [
        replace(position, text_offset=min(max(0, offset - num_extra), len(text)))
        for position, offset in zip(positions, offsets, strict=False)
    ]
