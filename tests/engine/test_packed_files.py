"""Rounded weights in a folder: written by `llm-service quantize`, served like any model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel
from typer.testing import CliRunner

from llm_service.__main__ import app
from llm_service.engine import Conversation
from llm_service.engine.batched.sequence import Sequence
from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels import files
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.loader import (
    LoadedModel,
    ModelLoadError,
    load_model,
    plan_resources,
)
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.machine import Machine
from tests.engine import models, tokenizers


def load(model_id: Path | str, **settings: Any) -> LoadedModel:
    config = EngineConfig(model_id=str(model_id), **settings)
    return load_model(config, Machine.detect(), lambda line: None)


def quantize(model: Path | str, out: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["quantize", str(model), "--out", str(out), *options])
    return result.exit_code, result.stderr


def answer(loaded: LoadedModel, question: str) -> list[int]:
    config, tokenizer = EngineConfig(), SealedTokenizer(loaded.tokenizer)
    info = model_info(loaded, plan_resources(config, loaded, Machine.detect()), config)
    core = build_core(loaded, info, config)
    prompt = tokenizer.encode_chat(Conversation([{"role": "user", "content": question}]))
    request = GenerationRequest(
        "r", Prompt(tuple(prompt)), SamplingParams(max_tokens=40, temperature=0.0)
    )
    sequence = Sequence.from_request(request, 0.0)
    core.add(sequence)
    while core.has_work:
        core.step()
    return sequence.token_ids[sequence.num_prompt_tokens :]


@pytest.fixture(scope="module", params=["8bit", "4bit"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("written") / f"pocket-{request.param}"
    assert quantize("pocket", out, "--scheme", request.param) == (0, quantize_words("pocket"))
    return out


def quantize_words(model_id: str) -> str:
    return f"loading {model_id} from {Path(__file__).parents[2] / 'models' / model_id}\n"


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_what_was_written_answers_as_what_is_rounded_while_loading(written: Path) -> None:
    scheme = written.name.split("-")[1]
    mapped, rounded = load(written), load("pocket", quantization=scheme)
    for name in ("form", "weights_bytes", "num_parameters",
                 "eos_token_ids", "default_sampling", "layer_shapes", "max_context"):  # fmt: skip
        assert getattr(mapped, name) == getattr(rounded, name), name
    for question in ("What is 7 + 5?", "My name is Ada. What is my name?"):
        assert answer(mapped, question) == answer(rounded, question)


def test_the_folder_is_smaller_than_the_model(written: Path) -> None:
    size = (written / "model.safetensors").stat().st_size
    share = 0.52 if "8bit" in written.name else 0.34
    assert size < share * 2 * load("pocket").num_parameters


def test_the_parts_of_a_matrix_keep_the_names_that_older_folders_have(written: Path) -> None:
    names = {name for name in load_file(written / "model.safetensors") if name.startswith("head.")}
    assert names == {"head.weights", "head.lower", "head.scales", "head.doubts"}


def refusal(folder: Path, **settings: Any) -> str:
    with pytest.raises(ModelLoadError) as caught:
        load(folder, **settings)
    return str(caught.value)


def edit_facts(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["llm_service"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


def test_settings_that_the_folder_cannot_follow_are_refused(folder: Path) -> None:
    other = "4bit" if "8bit" in load(folder).form.quantization else "8bit"
    assert f"LLM_QUANTIZATION={other}" in refusal(folder, quantization=other)
    assert "batched engine" in refusal(folder, engine="sequential")


def test_packed_weights_are_served_on_the_cpu_also_where_there_is_a_gpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert load(folder).model.device.type == "cpu"


def test_another_packing_is_refused(folder: Path) -> None:
    edit_facts(folder, format="packed-0/8/8")
    assert "quantize the model again" in refusal(folder)


def test_a_missing_fact_is_named(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["llm_service"]["head_dim"]
    (folder / "config.json").write_text(json.dumps(config))
    assert "config.json lacks head_dim" in refusal(folder)


def test_weights_of_another_model_are_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["head.weights"] = torch.zeros_like(tensors["head.weights"])
    save_file(tensors, folder / "model.safetensors")
    assert "not those that config.json was written for" in refusal(folder)


only_8bit = pytest.mark.parametrize("written", ["8bit"], indirect=True)


def half_of(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[: len(tensor) // 2].contiguous()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("layers.1.down.weights", half_of, "is uint8 [|is int8 ["),
        ("layers.0.qkv.weights", lambda t: t.to(torch.int32), "is int32 ["),
        ("layers.2.mlp_norm", half_of, "is float32 [128], but config.json implies float32 [256]"),
        ("head.lower", half_of, "is uint8 ["),
        ("rest.model.norm.weight", half_of, "is float32 [128], but config.json implies"),
        ("rest.model.norm.weight", torch.Tensor.bfloat16, "is bfloat16 ["),
    ],
)
def test_a_tensor_that_does_not_fit_the_configuration_is_named(
    folder: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor], words: str
) -> None:
    """Though config.json was written for just these tensors: the kernels would read beyond it."""
    tensors = load_file(folder / "model.safetensors")
    rewrite(folder, tensors | {name: change(tensors[name])})
    refused = refusal(folder)
    assert f"{name.removeprefix('rest.')} " in refused
    assert any(each in refused for each in words.split("|"))


@only_8bit
def test_a_tensor_that_is_missing_or_too_many_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    scales = tensors.pop("head.scales")
    rewrite(folder, tensors)
    assert "it lacks head.scales" in refusal(folder)
    rewrite(folder, tensors | {"head.scales": scales, "layers.99.mlp_norm": scales.clone()})
    assert "it has layers.99.mlp_norm" in refusal(folder)


@only_8bit
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intermediate_size": 1024}, "the matrix layers.0.down is ["),
        (
            {"num_hidden_layers": 2, "layer_types": ["full_attention"] * 2},
            "but config.json implies no such matrix",
        ),
        ({"num_key_value_heads": 1}, "the matrix layers.0.qkv is ["),
        ({"vocab_size": 8192}, "the matrix head is ["),
        ({"rms_norm_eps": 0.5}, "eps is "),
        ({"hidden_act": "silu", "model_type": "gpt2"}, "is not that of a packed model"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    folder: Path, changes: dict[str, object], words: str
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    assert words in refusal(folder)


@only_8bit
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_heads": 64}, "num_heads is 64 under llm_service"),
        ({"shapes": []}, "no usable shapes"),
        ({"shapes": {}}, "is absent"),
        ({"how": []}, "attention is described for 0 layers"),
        ({"how": [{"scale": 1.0}] * 6}, "the attention of a layer is not described"),
        ({"quantization": "2bit"}, "states the quantization '2bit'"),
    ],
)
def test_facts_that_do_not_fit_the_configuration_are_named(
    folder: Path, changes: dict[str, object], words: str
) -> None:
    edit_facts(folder, **changes)
    assert words in refusal(folder)


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write other tensors and their fingerprint."""
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    edit_facts(folder, fingerprint=files._fingerprint(tensors))


def saved(model: PreTrainedModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizers.byte_level().save_pretrained(folder)
    return folder


def test_a_model_whose_layers_are_not_fused_cannot_be_written(tmp_path: Path) -> None:
    source = saved(models.fresh_model("gemma2"), tmp_path / "gemma")
    code, errors = quantize(source, tmp_path / "out")
    assert code == 1
    assert "cannot be written: it runs its layers part by part" in errors
    assert not (tmp_path / "out").exists()


def test_head_and_embedding_of_their_own_are_both_written(tmp_path: Path) -> None:
    source = saved(models.fresh_model("qwen3"), tmp_path / "qwen")
    assert AutoModelForCausalLM.from_pretrained(source).config.tie_word_embeddings is False
    assert quantize(source, tmp_path / "out")[0] == 0
    assert load(tmp_path / "out").weights_bytes == load(source, quantization="8bit").weights_bytes


@pytest.mark.parametrize(
    ("options", "words"), [(("--scheme", "3bit"), "3bit"), ((), "is there already")]
)
def test_misuse_ends_in_words(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    code, errors = quantize("pocket", tmp_path, *options)
    assert code == 2
    assert words in errors


def test_a_model_that_is_not_there_ends_in_words(tmp_path: Path) -> None:
    code, errors = quantize("./no/such/model", tmp_path / "out")
    assert code == 1
    assert "no/such/model" in errors
