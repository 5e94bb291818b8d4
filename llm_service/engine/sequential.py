"""Implements the sequential engine: transformers' own `generate`, one request at a time.

It serves models that cannot be batched here. It owns only the way in which logits are obtained from
`generate`. Scheduling, sampling, text, streams and failures are handled by the batched engine with
room for one sequence, so every parameter means the same in both engines. The KV cache belongs to
transformers; its bytes are not counted.
"""

import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from llm_service.engine import ModelInfo, Observe, Prompt, Vision
from llm_service.engine.batched.block_manager import BlockManager
from llm_service.engine.batched.core import Delivery, EngineCore, StepResult
from llm_service.engine.batched.engine import BatchedEngine
from llm_service.engine.batched.sampler import Sampler
from llm_service.engine.batched.scheduler import ScheduledBatch, Scheduler
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.batched.worker import Backoff
from llm_service.engine.budget import Turn
from llm_service.engine.formats import ModelFormat
from llm_service.engine.grammar_compiler import GrammarCompiler
from llm_service.engine.kernels.head import LogitNeeds
from llm_service.engine.observer import Phase
from llm_service.engine.request import GenerationRequest
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.engine.vocabulary import Vocabulary
from llm_service.errors import InvalidRequest, ServiceError

_BLOCK_SIZE = 16  # tokens; blocks are only counted, as the model has its own cache


class SequentialEngine(BatchedEngine):
    """Implements `Engine` for any model that `generate` can drive."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        info: ModelInfo,
        observe: Observe,
        *,
        eos_token_ids: frozenset[int],
        model_format: ModelFormat,
        turn: Turn | None = None,
        backoff: Backoff | None = None,
        vision: Vision | None = None,
    ) -> None:
        # Callers apply the sampling defaults of the model's folder (`default_sampling`).
        model.generation_config = _generation_config(info.max_context)
        vocabulary = Vocabulary(tokenizer, size=info.vocab_size, eos_token_ids=eos_token_ids)
        assert info.local is not None
        threads = info.local.threads

        def build_core() -> EngineCore:
            torch.set_num_threads(threads)  # OpenMP stores the number per thread
            return SequentialCore(model, vocabulary, info.max_context, threads)

        sealed = SealedTokenizer(tokenizer)
        super().__init__(
            build_core,
            info,
            sealed,
            GrammarCompiler(vocabulary, sealed),
            observe(info),
            backoff or Backoff(),
            turn or Turn(),
            model_format,
            vision,
        )

    def _refuse_impossible(self, request: GenerationRequest) -> None:
        super()._refuse_impossible(request)
        if request.sampling.num_prompt_logprobs is not None:
            raise InvalidRequest(
                "This model runs one request at a time, and log probabilities of the prompt are"
                " not available then: leave out echo or logprobs."
            )

    def _refuse_attachments(self, request: GenerationRequest) -> None:
        if request.prompt.attachments:
            raise InvalidRequest("A model that runs one request at a time takes no attachments.")


class SequentialCore(EngineCore):
    """Runs the batched core with one slot over `generate`; frees its cache after each sequence."""

    def __init__(
        self, model: PreTrainedModel, vocabulary: Vocabulary, max_context: int, threads: int
    ) -> None:
        num_blocks = -(-max_context // _BLOCK_SIZE)
        self._generate = GenerateRunner(model, threads)
        super().__init__(
            Scheduler(
                BlockManager(num_blocks, _BLOCK_SIZE, prefix_cache=False),
                max_batch_size=1,
                max_batched_tokens=max_context,  # `generate` processes a prompt in one step
                max_context=max_context,
            ),
            self._generate,
            Sampler(vocabulary.size, vocabulary.eos_token_ids),
            vocabulary,
            max_context=max_context,
        )

    def step(self) -> StepResult:
        try:
            result = super().step()
        except Exception:
            self._generate.release()
            raise
        self._release()
        return result

    def abort(self, sequence: Sequence, error: ServiceError) -> Phase:
        phase = super().abort(sequence, error)
        self._release()
        return phase

    def expire(self) -> list[Delivery]:
        deliveries = super().expire()
        self._release()
        return deliveries

    def _release(self) -> None:
        if not self.num_running:
            self._generate.release()


class GenerateRunner:
    """Returns the logits of a `generate` call step by step; the call runs on its own thread."""

    block_bytes = 0

    def __init__(self, model: PreTrainedModel, num_threads: int) -> None:
        self._model = model
        self._num_threads = num_threads
        self._sequence: Sequence | None = None
        self._num_given = 0  # tokens of the sequence
        self._generation: _Generation | None = None

    def forward(self, batch: ScheduledBatch, needs: Iterable[LogitNeeds] = ()) -> Tensor:
        """Return logits [1, vocab_size] for the one sequence of the batch, all of them exact."""
        (sequence,) = batch.sampled
        if self._generation is None or sequence is not self._sequence:
            self.release()
            self._sequence = sequence
            prompt = sequence.request.prompt
            assert len(sequence.token_ids) == len(prompt)  # never preempted: it is alone
            self._generation = _Generation(self._model, prompt, self._num_threads)
        else:
            *forced, last = sequence.token_ids[self._num_given :]
            for token_id in forced:
                self._generation.choose(token_id)
                self._generation.logits()
            self._generation.choose(last)
        self._num_given = len(sequence.token_ids)
        return self._generation.logits()

    def release(self) -> None:
        """End the generation in progress, if there is one, and free its cache."""
        if self._generation is not None:
            self._generation.close()
        self._sequence = self._generation = None


class _Closed(Exception):
    """Raised inside `generate` to end it."""


class _Generation:
    """Runs one call of `generate`, which waits for the chosen token at every position."""

    def __init__(self, model: PreTrainedModel, prompt: Prompt, num_threads: int) -> None:
        self._logits: SimpleQueue[Tensor | Exception] = SimpleQueue()
        self._chosen: SimpleQueue[int | None] = SimpleQueue()
        # The thread has no reference to self, so it ends when self is dropped after a failure.
        self._end = weakref.finalize(self, self._chosen.put, None)
        handover = _Handover(self._logits, self._chosen)
        ids = torch.tensor([prompt.token_ids], device=model.device)
        self._thread = threading.Thread(
            target=_generate,
            args=(model, ids, prompt.inputs, num_threads, handover, self._logits),
            name="generate",
            daemon=True,
        )
        self._thread.start()

    def logits(self) -> Tensor:
        """Return logits [1, vocab_size] of the next position; raises what `generate` raises."""
        logits = self._logits.get()
        if isinstance(logits, Exception):
            raise logits
        return logits

    def choose(self, token_id: int) -> None:
        self._chosen.put(token_id)

    def close(self) -> None:
        self._end()
        self._thread.join()


class _Handover(LogitsProcessor):
    """Hands over the logits of each position and waits for the chosen token."""

    def __init__(
        self, logits: "SimpleQueue[Tensor | Exception]", chosen: "SimpleQueue[int | None]"
    ) -> None:
        self._logits = logits
        self._chosen = chosen

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._logits.put(scores)
        token_id = self._chosen.get()
        if token_id is None:
            raise _Closed
        forced = torch.full_like(scores, -torch.inf)
        forced[:, token_id] = 0.0
        return forced


def _generate(
    model: PreTrainedModel,
    ids: Tensor,
    inputs: Callable[[], Mapping[str, Tensor]] | None,
    num_threads: int,
    handover: _Handover,
    logits: "SimpleQueue[Tensor | Exception]",
) -> None:
    torch.set_num_threads(num_threads)
    generate: Any = model.generate
    try:
        generate(
            ids,
            attention_mask=torch.ones_like(ids),
            **({} if inputs is None else on_model(model, inputs())),
            logits_processor=LogitsProcessorList([handover]),
        )
        raise RuntimeError("generate ended by itself")
    except _Closed:
        pass
    except Exception as error:
        logits.put(error)


def on_model(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `inputs` on the model's device, and numbers such as pixels in its type."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
        for name, value in inputs.items()
    }


def _generation_config(max_context: int) -> GenerationConfig:
    """Return a configuration with which `generate` never stops early or changes logits."""
    make: Any = GenerationConfig
    config: GenerationConfig = make(do_sample=False, max_length=max_context + 1, pad_token_id=0)
    return config
