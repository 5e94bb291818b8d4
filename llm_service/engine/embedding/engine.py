"""Implements the embedding engine: the batched engine's streams and thread over its own core."""

from collections.abc import Callable

from llm_service.engine import ModelInfo, PromptTokenizer, TokenStream
from llm_service.engine.batched.core import Core
from llm_service.engine.batched.engine import BatchedEngine
from llm_service.engine.batched.worker import Backoff
from llm_service.engine.budget import Turn
from llm_service.engine.formats import ModelFormat
from llm_service.engine.formats.declarations import PLAIN
from llm_service.engine.grammar import Grammar, GrammarSource
from llm_service.engine.observer import EngineObserver
from llm_service.engine.request import NO_ANSWER, GenerationRequest
from llm_service.errors import ContextLengthExceeded, InvalidRequest, Overloaded


class NoGrammars:
    """Implements `Grammars` for a model that has no answers to constrain."""

    async def compile(self, source: GrammarSource) -> Grammar:
        raise InvalidRequest("A model that makes embeddings takes no grammar.")


class EmbeddingEngine(BatchedEngine):
    """Implements `Engine`. Each request has `NO_ANSWER`; its one chunk carries the embedding."""

    def __init__(
        self,
        build_core: Callable[[], Core],
        info: ModelInfo,
        tokenizer: PromptTokenizer,
        observer: EngineObserver,
        backoff: Backoff,
        turn: Turn,
    ) -> None:
        plain = ModelFormat(PLAIN)
        super().__init__(build_core, info, tokenizer, NoGrammars(), observer, backoff, turn, plain)

    def submit(self, *requests: GenerationRequest) -> TokenStream:
        """Also raises Overloaded if the caller's inputs fill half of the queue already.

        Callers are told apart by `cache_salt`.
        """
        callers = {request.cache_salt for request in requests}
        num_own = sum(sequence.request.cache_salt in callers for sequence in self._streams)
        if num_own >= self._info.max_waiting / 2:
            raise Overloaded(
                f"{num_own} inputs of this key are waiting already, which is half of the queue.",
                retry_after=self._retry_seconds(num_own),
            )
        return super().submit(*requests)

    def _retry_seconds(self, num_own: int) -> float:
        return max(1.0, self._queue.mean_interval() * num_own / 2)

    def _refuse_impossible(self, request: GenerationRequest) -> None:
        ids, info = request.prompt.token_ids, self._info
        if request.sampling is not NO_ANSWER:
            raise InvalidRequest(f"{info.model_id} makes embeddings and does not generate text.")
        if request.prompt.attachments:
            raise InvalidRequest("A model that makes embeddings takes no attachments.")
        if not ids:
            raise InvalidRequest("An input needs at least one token.")
        if min(ids) < 0 or max(ids) >= info.vocab_size:
            raise InvalidRequest(f"Token ids lie between 0 and {info.vocab_size - 1}.")
        if len(ids) > info.max_context:
            raise ContextLengthExceeded.of_input(info.max_context, len(ids))
