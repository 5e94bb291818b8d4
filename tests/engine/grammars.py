"""Random JSON schemas, and engine cores over random models with a vocabulary of several kinds."""

import random
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from llm_service.engine.batched.core import EngineCore
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.config import EngineConfig, Speculation
from llm_service.engine.grammar import Grammar, ReasoningBudget
from llm_service.engine.grammar_compiler import GrammarCompiler
from llm_service.engine.kernels.kv_cache import block_bytes
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.loader import LoadedModel, Resources
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.engine.vocabulary import Vocabulary
from tests.engine import models, tokenizers

VOCABULARIES = {
    "bytes": models.byte_tokenizer,
    "byte level": tokenizers.byte_level,
    "byte fallback": tokenizers.sentencepiece,
    "pocket": tokenizers.pocket,
}
_MAX_CONTEXT = 512
_BLOCK_SIZE = 8


@cache
def loaded(kind: str) -> LoadedModel:
    """A tiny model with random weights. Its logits are wider than the vocabulary."""
    tokenizer: Any = VOCABULARIES[kind]()
    vocab_size = len(tokenizer) + 5
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=_MAX_CONTEXT,
        initializer_range=0.4,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.float().eval()
    return replace(
        models.loaded_model(
            model,
            eos_token_ids=frozenset({tokenizer.eos_token_id}),
            layer_shapes=models.shapes_of(model),
        ),
        tokenizer=tokenizer,
        max_context=_MAX_CONTEXT,
    )


def vocabulary(kind: str) -> Vocabulary:
    model = loaded(kind)
    size = model.model.config.vocab_size
    return Vocabulary(model.tokenizer, size=size, eos_token_ids=model.eos_token_ids)


@cache
def compiler(kind: str) -> GrammarCompiler:
    return GrammarCompiler(vocabulary(kind), SealedTokenizer(loaded(kind).tokenizer))


def make_core(
    kind: str,
    *,
    speculation: Speculation = "none",
    num_blocks: int = 400,
    max_batched_tokens: int = 64,
) -> EngineCore:
    config = EngineConfig(
        block_size=_BLOCK_SIZE, speculation=speculation, max_batched_tokens=max_batched_tokens
    )
    model = loaded(kind)
    per_block = block_bytes(model.layer_shapes, _BLOCK_SIZE, model.model.dtype)
    resources = Resources(
        threads=1,
        kv_cache_bytes=num_blocks * per_block,
        max_batch_size=8,
        max_context=_MAX_CONTEXT,
    )
    return build_core(model, model_info(model, resources, config), config)


def sequence_of(
    kind: str,
    grammar: Grammar | None,
    sampling: SamplingParams,
    *,
    prompt: str = "Tell me more about it: ",
    markers: frozenset[int] = frozenset(),
    budget: ReasoningBudget | None = None,
) -> Sequence:
    ids = tuple(SealedTokenizer(loaded(kind).tokenizer).encode_text(prompt))
    request = GenerationRequest(
        "r", Prompt(ids), sampling, markers=markers, grammar=grammar, reasoning_budget=budget
    )
    return Sequence.from_request(request, 0.0)


def random_schema(draw: random.Random, depth: int = 3) -> dict[str, Any]:
    """A schema of what `%json` offers, made so that most random answers end soon."""
    leaves = [_string, _integer, _number, _enumeration, _constant, _simple, _pattern, _format]
    nodes = [_object, _object, _array, _union]
    return draw.choice(nodes if depth == 3 else leaves + nodes if depth else leaves)(draw, depth)


def _string(draw: random.Random, depth: int) -> dict[str, Any]:
    low = draw.randrange(3)
    return {"type": "string", "minLength": low, "maxLength": low + draw.randrange(6)}


def _integer(draw: random.Random, depth: int) -> dict[str, Any]:
    low = draw.randrange(-200, 200)
    return {"type": "integer", "minimum": low, "maximum": low + draw.randrange(1000)}


def _number(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "exclusiveMaximum": draw.choice([1, 10.5, 1000])}


def _enumeration(draw: random.Random, depth: int) -> dict[str, Any]:
    values = ["red", "green", "dark green", "caf\u00e9 \U0001f642", 'a "quoted" \\ one', 1, -2.5]
    values += [None, True, ["x", {"y": 2}]]
    return {"enum": draw.sample(values, draw.randrange(1, 6))}


def _constant(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"const": draw.choice(["fixed text of several tokens", 12345, {"a": [1, "b"]}, None])}


def _simple(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"type": draw.choice(["boolean", "null", ["boolean", "null"]])}


def _pattern(draw: random.Random, depth: int) -> dict[str, Any]:
    pattern = draw.choice(["^[A-Z]{2}-[0-9]{1,4}$", "^(foo|bar)+$", "^\\d{3}$", "^[a-f0-9]{0,8}$"])
    return {"type": "string", "pattern": pattern}


def _format(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"type": "string", "format": draw.choice(["uuid", "ipv4"])}


def _array(draw: random.Random, depth: int) -> dict[str, Any]:
    low = draw.randrange(2)
    items = random_schema(draw, depth - 1)
    return {"type": "array", "items": items, "minItems": low, "maxItems": low + draw.randrange(3)}


def _union(draw: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [random_schema(draw, depth - 1) for _ in range(draw.randrange(1, 4))]}


def _object(draw: random.Random, depth: int) -> dict[str, Any]:
    names = ["name", "id", "is ok", "na\u00efve", "the_longer_name_of_a_property", "x"]
    chosen = draw.sample(names, draw.randrange(1, 5))
    return {
        "type": "object",
        "properties": {name: random_schema(draw, depth - 1) for name in chosen},
        "required": draw.sample(chosen, draw.randrange(len(chosen) + 1)),
        "additionalProperties": False,
    }
