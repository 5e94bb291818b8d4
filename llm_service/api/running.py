"""The inference requests that run in this process: started, listed, cancelled and recorded."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import structlog
from fastapi import Request

from llm_service.access.limits import Permit
from llm_service.api.generation import Generation
from llm_service.api.records import Recorder, new_record
from llm_service.engine import GenerationRequest, Prompt, SamplingParams
from llm_service.engine.answer import Parser, PlainText
from llm_service.engine.grammar import Grammar, ReasoningBudget
from llm_service.engine.served import ServedModel

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and how the answers to it are read: `make_parser` is called for each of them.

    `stop_token_ids` end an answer, in addition to the caller's. `image_tokens` is the number of
    tokens of the prompt that stand for images. The other fields are those of `GenerationRequest`.
    """

    prompt: Prompt
    make_parser: Callable[[], Parser] = PlainText
    markers: frozenset[int] = frozenset()
    grammar: Grammar | None = None
    reasoning_budget: ReasoningBudget | None = None
    stop_token_ids: tuple[int, ...] = ()
    image_tokens: int = 0


class RunningRequests:
    """Every request that was admitted and has not ended, the oldest first."""

    def __init__(self, recorder: Recorder, timeout_seconds: float) -> None:
        """A request ends with DeadlineExceeded after `timeout_seconds`."""
        self._recorder = recorder
        self._timeout_seconds = timeout_seconds
        self._running: dict[Generation, None] = {}  # as an ordered set

    def __iter__(self) -> Iterator[Generation]:
        """Iterate over a copy, because requests may end during the iteration."""
        return iter(self._running.copy())

    def open(
        self,
        model: ServedModel,
        request: Request,
        permit: Permit,
        questions: list[Question],
        samplings: list[SamplingParams],
        *,
        choices_per_prompt: int,
        is_stream: bool,
    ) -> Generation:
        """Submit `choices_per_prompt` sequences per question, each with its own seed.

        `samplings` has one entry for each question. Raises Overloaded or Unavailable if nothing was
        submitted; the caller then has to end the permit. Otherwise `Generation.close` ends it.
        """
        request_id = request.scope["state"]["request_id"]
        deadline = time.monotonic() + self._timeout_seconds
        choices = [
            (question, _for_choice(sampling, choice))
            for question, sampling in zip(questions, samplings, strict=True)
            for choice in range(choices_per_prompt)
        ]
        stream = model.engine.submit(
            *(
                GenerationRequest(
                    request_id=f"{request_id}-{i}",
                    prompt=question.prompt,
                    sampling=sampling,
                    cache_salt=permit.key.cache_salt,
                    deadline=deadline,
                    arrived=request.scope["state"]["arrived"],
                    markers=question.markers,
                    grammar=question.grammar,
                    reasoning_budget=question.reasoning_budget,
                )
                for i, (question, sampling) in enumerate(choices)
            )
        )
        record = new_record(request, permit.key, model.info.model_id, is_stream)
        record.prompt_tokens = sum(len(question.prompt) for question in questions)
        generation = Generation(
            record,
            permit,
            stream,
            choices_per_prompt=choices_per_prompt,
            max_tokens=choices_per_prompt * sum(sampling.max_tokens for sampling in samplings),
            image_tokens=sum(question.image_tokens for question in questions),
            parsers=[question.make_parser() for question, _ in choices],
            ended=self._ended,
        )
        self._running[generation] = None
        return generation

    def cancel(self, request_id: str, by: str) -> int:
        """Cancel what runs under `request_id`; returns how many requests those were."""
        found = [each for each in self if each.record.request_id == request_id]
        for generation in found:
            generation.cancel()
            log.info(
                "request cancelled",
                by=by,
                cancelled_request_id=request_id,
                key_name=generation.record.key_name,
            )
        return len(found)

    def _ended(self, generation: Generation) -> None:
        del self._running[generation]
        self._recorder.finished(generation.record, generation.key)


def _for_choice(sampling: SamplingParams, choice: int) -> SamplingParams:
    """Choices of a seeded request differ, and each is reproducible."""
    if sampling.seed is None or choice == 0:
        return sampling
    return replace(sampling, seed=sampling.seed + choice)
