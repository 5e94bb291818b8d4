"""Measures the cost of rounding a model's weights, compared with the same model in float32.

Both models read the same texts. By default these are the float32 model's own greedy answers to a
few questions, so that the comparison is about typical output. A text file can be used instead.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from llm_service.bench import BenchError
from llm_service.engine.batched import sequence as sequences
from llm_service.engine.batched.model_runner import ModelRunner
from llm_service.engine.batched.scheduler import ScheduledBatch, ScheduledSequence
from llm_service.engine.config import EngineConfig, Quantization
from llm_service.engine.conversation import Conversation
from llm_service.engine.kernels.kv_cache import KVCache
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.loader import LoadedModel, load_model, plan_resources
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.machine import Machine

REFERENCE = "float32"
_BLOCK_SIZE = 16
_WINDOW_TOKENS = 512  # a long text is read in windows of this size
_ROWS = 64  # positions whose logits are held at a time
_ANSWER_TOKENS = 64
_QUESTIONS = (
    "What is 7 + 5?",
    "What is the capital of France?",
    "Tell me a short story about a dog.",
    "Count from 3 to 9.",
    "Spell the word garden backwards.",
    "Sort these numbers: 9, 2, 14, 5.",
    "What day comes after Tuesday?",
    "Write a sentence about the sea.",
    "Is 17 larger than 12?",
    "What is 81 minus 36?",
    "Say hello in a friendly way.",
    "What is the opposite of cold?",
    "Name three colours.",
    "Why is the sky blue?",
    "My name is Ada. What is my name?",
    "Explain what a cache is.",
    "Write a Python function that adds two numbers.",
    "Translate 'good morning' into French.",
    "How many letters are in the word apple?",
    "What can you do?",
    "Which is heavier, a feather or a stone?",
    "List the months of spring.",
    "What is 6 times 7?",
    "Describe a tree in two sentences.",
)


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality over `num_tokens` predicted tokens, with natural logarithms."""

    quantization: str
    weights_bytes: int
    num_tokens: int
    perplexity: float
    kl_divergence: float  # mean of KL(float32 || this)
    agreement: float  # share of positions with the same likeliest token


@dataclass(frozen=True, slots=True)
class Text:
    """Tokens; those from `start` on are predicted."""

    token_ids: tuple[int, ...]
    start: int


@dataclass(slots=True)
class _Sums:
    negative_log_likelihood: float = 0.0
    kl_divergence: float = 0.0
    num_equal: int = 0
    num_tokens: int = 0

    def quality(self, loaded: LoadedModel, name: str) -> Quality:
        return Quality(
            name,
            loaded.weights_bytes,
            self.num_tokens,
            math.exp(self.negative_log_likelihood / self.num_tokens),
            self.kl_divergence / self.num_tokens,
            self.num_equal / self.num_tokens,
        )


@torch.inference_mode()
def measure(
    model_id: str,
    schemes: Sequence[Quantization],
    text: str | None,
    max_tokens: int,
    progress: Callable[[str], None],
) -> list[Quality]:
    """Measure the float32 model, then each of `schemes`, which are loaded one after the other.

    Raises BenchError if there is too little text to compare, and ModelLoadError if a model
    cannot be loaded.
    """
    config = EngineConfig(
        model_id=model_id, device="cpu", dtype="float32", quantization="none", speculation="none"
    )
    machine = Machine.detect()
    reference = load_model(config, machine, progress)
    if not reference.is_batched:
        raise BenchError(f"{model_id} cannot be compared: {reference.reasons.sequential}.")
    read = _windows(reference, text) if text is not None else _answers(reference, config, machine)
    texts = list(_first(read, max_tokens))
    if not texts:
        raise BenchError("The text is too short: there is no token to predict.")
    qualities = [_compare(reference, reference, texts).quality(reference, REFERENCE)]
    for scheme in schemes:
        rounded = load_model(replace(config, dtype="auto", quantization=scheme), machine, progress)
        qualities.append(_compare(reference, rounded, texts).quality(rounded, scheme))
        del rounded  # before the next one is loaded
    return qualities


def table(qualities: Sequence[Quality]) -> str:
    head = f"{'':<8} {'weights':>12} {'perplexity':>11} {'KL':>9} {'agreement':>10}"
    rows = [
        f"{q.quantization:<8} {q.weights_bytes / 1e6:>9,.1f} MB {q.perplexity:>11.4f}"
        f" {q.kl_divergence:>9.5f} {q.agreement:>10.2%}"
        for q in qualities
    ]
    return "\n".join([head, *rows, f"over {qualities[0].num_tokens} tokens"])


def write_json(model_id: str, qualities: Sequence[Quality], file: Path) -> None:
    found = {"model": model_id, "qualities": [asdict(quality) for quality in qualities]}
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _windows(loaded: LoadedModel, text: str) -> Iterator[Text]:
    token_ids = SealedTokenizer(loaded.tokenizer).encode_text(text)
    size = min(_WINDOW_TOKENS, loaded.max_context)
    for start in range(0, len(token_ids) - 1, size):
        yield Text(tuple(token_ids[start : start + size]), 1)


def _answers(loaded: LoadedModel, config: EngineConfig, machine: Machine) -> Iterator[Text]:
    tokenizer = SealedTokenizer(loaded.tokenizer)
    info = model_info(loaded, plan_resources(config, loaded, machine), config)
    core = build_core(loaded, info, config)
    sampling = SamplingParams(max_tokens=_ANSWER_TOKENS, temperature=0.0)
    asked = []
    for i, question in enumerate(_QUESTIONS):
        if tokenizer.has_chat_template:
            prompt = tokenizer.encode_chat(Conversation([{"role": "user", "content": question}]))
        else:
            prompt = tokenizer.encode_text(question)
        request = GenerationRequest(str(i), Prompt(tuple(prompt)), sampling)
        asked.append(sequences.Sequence.from_request(request, 0.0))
        core.add(asked[-1])
    while core.has_work:
        core.step()
    for each in asked:
        yield Text(tuple(each.token_ids), each.num_prompt_tokens)


def _first(texts: Iterator[Text], max_tokens: int) -> Iterator[Text]:
    """The first texts, cut so that together they predict at most `max_tokens` tokens."""
    for text in texts:
        if max_tokens <= 0:
            return
        cut = text.token_ids[: text.start + max_tokens]
        if len(cut) > text.start:
            yield Text(cut, text.start)
        max_tokens -= len(cut) - text.start


def _compare(reference: LoadedModel, other: LoadedModel, texts: Sequence[Text]) -> _Sums:
    sums = _Sums()
    for text in texts:
        pairs = zip(
            _log_probabilities(reference, text), _log_probabilities(other, text), strict=True
        )
        at = text.start
        for expected, found in pairs:
            targets = torch.tensor(text.token_ids[at : at + len(found)])
            at += len(found)
            sums.negative_log_likelihood -= found.gather(1, targets[:, None]).sum().item()
            sums.kl_divergence += (expected.exp() * (expected - found)).sum().item()
            sums.num_equal += int((expected.argmax(1) == found.argmax(1)).sum())
            sums.num_tokens += len(found)
    return sums


def _log_probabilities(loaded: LoadedModel, text: Text) -> Iterator[Tensor]:
    """Logits before each predicted token of `text`, in order, [up to _ROWS, vocab_size] at a time.

    The tokens to predict run as draft tokens, because the runner returns logits for all of those.
    """
    num_blocks = -(-len(text.token_ids) // _BLOCK_SIZE)
    cache = KVCache(
        loaded.layer_shapes,
        num_blocks,
        _BLOCK_SIZE,
        dtype=loaded.form.kv_dtype,
        device=loaded.model.device,
    )
    runner = ModelRunner(loaded.model, cache)
    request = GenerationRequest(
        "text", Prompt(text.token_ids[: text.start]), SamplingParams(max_tokens=1)
    )
    sequence = sequences.Sequence.from_request(request, 0.0)
    sequence.block_table = list(range(num_blocks))
    while len(sequence.token_ids) < len(text.token_ids):
        known = len(sequence.token_ids)
        draft = text.token_ids[known : min(known + _ROWS, len(text.token_ids)) - 1]
        num_tokens = sequence.num_uncomputed_tokens + len(draft)
        item = ScheduledSequence(
            sequence, num_tokens, is_sampled=True, is_decode=False, draft=draft
        )
        yield runner.forward(ScheduledBatch([item])).double().log_softmax(dim=1)
        sequence.num_computed_tokens += num_tokens
        sequence.token_ids += text.token_ids[known : known + len(draft) + 1]
