"""Models are found, refused in words or loaded, and given what the machine has."""

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MambaConfig,
    MambaForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)
from transformers.quantizers import quantizer_finegrained_fp8

from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.build import usable_instruction_sets
from llm_service.engine.loading import form as forms
from llm_service.engine.loading import loader, memory, model_files, quantization, quantizers
from llm_service.engine.loading.checkpoint import examine
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.form import choose_dtype
from llm_service.engine.loading.loader import (
    ModelLoadError,
    bundled_models,
    load_model,
    plan_resources,
)
from llm_service.engine.loading.plan import make_plan
from llm_service.engine.loading.quantization import CannotQuantize
from llm_service.machine import Machine
from tests.engine import models, tokenizers
from tests.engine.hub_server import hub_server

GIB = 2**30


@pytest.fixture(scope="module")
def machine():
    """Two cores and 4 GiB free, without bfloat16."""
    return replace(
        Machine.detect(), cpu_cores=2.0, cpu_flags=frozenset(), memory_available_bytes=4 * GIB
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tiny model's folder, with generation_config.json; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = models.tiny_model("qwen2")
    model.generation_config.temperature = 0.6
    model.generation_config.do_sample = True
    model.generation_config.eos_token_id = [models.EOS, 3]
    model.save_pretrained(folder)
    tokenizers.byte_level().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that a test may break."""
    return shutil.copytree(saved, tmp_path / "tiny")


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """The hub's client reads its environment once, when it is imported; so not by variables."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def hub(monkeypatch, empty_cache, saved):
    with hub_server({"owner/tiny": saved}, gated=("owner/gated",)) as server:
        set_endpoint(monkeypatch, server.url)
        yield server


def set_endpoint(monkeypatch, url):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


HAS_TUNED_KERNELS = usable_instruction_sets(Machine.detect().cpu_flags)[0] != "portable"


def load(machine, model_id, **changes):
    lines: list[str] = []
    return load_model(EngineConfig(model_id=str(model_id), **changes), machine, lines.append), lines


def refusal(machine, model_id, **changes):
    with pytest.raises(ModelLoadError) as caught:
        load(machine, model_id, **changes)
    return str(caught.value)


def edit_json(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_the_bundled_model_loads_by_its_name(machine):
    loaded, lines = load(machine, "pocket")
    assert loaded.model_id == "pocket"
    assert loaded.form.kv_dtype == torch.float32 == loaded.model.dtype
    assert loaded.form.quantization == "none"
    assert not loaded.model.training
    assert loaded.is_batched
    assert loaded.max_context == 2048
    control = loaded.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert loaded.eos_token_ids == set(control)
    # kernels read them as they are stored, though all is computed in float32
    assert loaded.form.dtype == (torch.bfloat16 if loaded.form.kernels else torch.float32)
    expected = loaded.num_parameters * loaded.form.dtype.itemsize
    assert loaded.weights_bytes == pytest.approx(expected, rel=0.01)
    assert any("pocket" in line for line in lines)


def test_a_folder_loads_under_its_own_name_with_its_own_sampling_defaults(machine, saved):
    loaded, _ = load(machine, saved)
    assert loaded.model_id == "tiny"
    assert loaded.default_sampling == {"temperature": 0.6}
    assert loaded.eos_token_ids >= {models.EOS, 3}
    assert loaded.load_seconds > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_loaded_in_the_type_that_was_asked_for(machine, saved, dtype):
    loaded, _ = load(machine, saved, dtype=dtype)
    assert loaded.form.dtype == loaded.form.kv_dtype == getattr(torch, dtype)
    expected = loaded.num_parameters * loaded.form.dtype.itemsize
    assert loaded.weights_bytes == pytest.approx(expected, rel=0.03)  # packing fills up panels


def test_torch_computes_in_bfloat16_where_the_processor_multiplies_it(machine, saved):
    capable = replace(machine, cpu_flags=machine.cpu_flags | {"avx512_bf16"})
    loaded, _ = load(capable, saved, kernels="none")
    assert loaded.form.dtype == loaded.form.kv_dtype == torch.bfloat16


@pytest.mark.skipif(not HAS_TUNED_KERNELS, reason="torch computes on this CPU")
def test_the_kernels_round_nothing_unasked_whatever_the_processor_multiplies(machine, saved):
    for flags in (set(), {"avx512_bf16"}):
        some_cpu = replace(machine, cpu_flags=machine.cpu_flags - {"avx512_bf16"} | flags)
        loaded, _ = load(some_cpu, saved)
        assert loaded.form.kernels
        assert loaded.form.dtype == loaded.form.kv_dtype == torch.float32


def test_a_model_that_cannot_be_batched_says_why(machine, tmp_path):
    config = MambaConfig(vocab_size=258, hidden_size=16, num_hidden_layers=2, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    tokenizers.byte_level().save_pretrained(tmp_path)
    loaded, _ = load(machine, tmp_path)
    assert loaded.reasons.sequential
    assert loaded.reasons.sequential in loaded.notes[0]


def test_a_model_whose_layers_only_look_fusable_is_served_in_its_own_type(machine, tmp_path):
    """The plan keeps the cache in float32, for the kernels; torch then computes in bfloat16."""
    made = SmolLM3Config(
        hidden_size=64, intermediate_size=64, num_hidden_layers=3, vocab_size=500,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.4,
        no_rope_layers=[1, 0, 1], pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    SmolLM3ForCausalLM(made).bfloat16().save_pretrained(tmp_path)
    tokenizers.byte_level().save_pretrained(tmp_path)
    loaded, _ = load(machine, tmp_path)
    assert not loaded.form.is_fused
    assert loaded.form.kv_dtype == loaded.form.dtype == loaded.model.dtype
    if HAS_TUNED_KERNELS:
        assert loaded.reasons.unfused == "a fused layer does not compute what the model's own does"
    config = EngineConfig()
    info = model_info(loaded, plan_resources(config, loaded, machine), config)
    build_core(loaded, info, config).warm_up()


def test_a_model_that_cannot_be_batched_after_all_is_served_as_it_came_out(
    machine, saved, monkeypatch
):
    monkeypatch.setattr(loader, "why_not_batchable", lambda model, whole: "its answers differ")
    loaded, _ = load(machine, saved)
    assert not loaded.is_batched
    assert not loaded.form.is_fused
    assert loaded.layer_shapes == ()
    assert loaded.notes[0] == "runs one request at a time because its answers differ"
    assert loaded.reasons.unfused is None
    assert plan_resources(EngineConfig(), loaded, machine).kv_cache_bytes == 0
    words = refusal(machine, saved, engine="batched")
    assert words.startswith("LLM_ENGINE=batched, but tiny cannot be batched because its answers")


def test_a_model_that_cannot_be_quantized_after_all_is_served_plain_with_a_note(
    machine, saved, monkeypatch
):
    def fail(model, kernels, quantization):
        raise CannotQuantize("its logits are not finite")

    monkeypatch.setattr(quantization, "_exchange_linears", fail)
    loaded, _ = load(machine, saved, quantization="8bit", engine="sequential")
    assert loaded.form.quantization == "none"
    assert "is not quantized because then its logits are not finite" in loaded.notes
    plain, _ = load(machine, saved, quantization="none", engine="sequential")
    assert loaded.form == plain.form
    assert loaded.weights_bytes == plain.weights_bytes


def test_a_model_that_also_sees_is_loaded_for_its_text(machine, tmp_path):
    size: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    vision = CLIPVisionConfig(**size, num_attention_heads=2, image_size=8, patch_size=4)
    text = LlamaConfig(**size, num_attention_heads=2, vocab_size=500, max_position_embeddings=64)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=499)
    LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizers.byte_level().save_pretrained(tmp_path)
    loaded, _ = load(machine, tmp_path)
    assert loaded.is_batched
    assert loaded.reader is None
    assert any("sees no images because its image processor" in note for note in loaded.notes)
    assert loaded.max_context == 64


@pytest.mark.parametrize("name", ["no/such/folder", "../nowhere", "two words", ""])
def test_an_impossible_name_is_refused_with_the_bundled_ones(machine, name):
    assert "pocket" in refusal(machine, name)


def test_a_folder_without_a_model_is_refused(machine, tmp_path):
    assert "config.json" in refusal(machine, tmp_path)


@pytest.mark.parametrize(
    ("left", "words"), [(None, "no weights"), ("x.gguf", "GGUF"), ("pytorch_model.bin", "pickled")]
)
def test_weights_in_no_usable_form_are_refused(machine, folder, left, words):
    (folder / "model.safetensors").unlink()
    if left:
        (folder / left).touch()
    assert words in refusal(machine, folder)


def test_a_missing_shard_is_named(machine, folder):
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    assert "model-2.safetensors" in refusal(machine, folder)


def test_a_cut_off_file_is_refused(machine, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "model.safetensors" in refusal(machine, folder)


def test_a_model_is_never_completed_with_random_weights(machine, folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, {"format": "pt"})
    assert "model.layers.1.mlp.up_proj.weight" in refusal(machine, folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "no_such_type"}, "no_such_type"),
        ({"model_type": "vit"}, "'vit' does not generate text"),
        ({"model_type": "bart", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantized already"),
        ({"quantization_config": [1, 2]}, "cannot be used"),
    ],
)
def test_a_model_of_the_wrong_kind_is_refused(machine, folder, changes, words):
    edit_json(folder / "config.json", **changes)
    assert words in refusal(machine, folder)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"quant_method": "gptq", "bits": 4}, "pip install optimum gptqmodel"),
        ({"quant_method": "awq", "bits": 4}, "pip install gptqmodel"),
        ({"quant_method": "compressed-tensors", "format": "x"}, "pip install compressed-tensors"),
        ({"quant_method": "no_such_method"}, "no_such_method"),
        ({"bits": 4}, "quant_method"),
    ],
)
def test_a_checkpoint_that_comes_quantized_is_refused_with_what_is_missing_and_the_way_round(
    machine, folder, stated, words, monkeypatch
):
    monkeypatch.setattr(quantizers, "find_spec", lambda name: None)
    monkeypatch.delattr(loader, "read_weights")
    edit_json(folder / "config.json", quantization_config=stated)
    refused = refusal(machine, folder)
    assert words in refused
    assert "LLM_QUANTIZATION=4bit" in refused


@pytest.fixture
def in_float8(folder, monkeypatch):
    """The model with its linear layers in float8, a scale for each 16 by 16 weights.

    transformers asks for accelerate then, and does not use it for what is turned back.
    """
    spec = find_spec("torch")
    monkeypatch.setattr(quantizers, "find_spec", lambda name: spec)
    monkeypatch.setattr(quantizer_finegrained_fp8, "is_accelerate_available", lambda: True)
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        rows, columns = (size // 16 for size in tensors[name].shape)
        blocks = tensors[name].float().view(rows, 16, columns, 16)
        scales = blocks.abs().amax((1, 3), keepdim=True) / 448
        tensors[name] = (blocks / scales).view(16 * rows, -1).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = scales[:, 0, :, 0].contiguous()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    stated = {"quant_method": "fp8", "weight_block_size": [16, 16], "activation_scheme": "dynamic"}
    edit_json(folder / "config.json", quantization_config=stated)
    return folder


@pytest.mark.parametrize("scheme", ["none", "8bit"])
@pytest.mark.parametrize("kernels", ["auto", "none"])
def test_weights_that_transformers_can_turn_back_are_served_as_any_others(
    machine, in_float8, saved, scheme, kernels
):
    loaded, _ = load(machine, in_float8, quantization=scheme, kernels=kernels)
    plain, _ = load(machine, saved, quantization=scheme, kernels=kernels)
    assert loaded.is_batched
    assert loaded.form.quantization == scheme
    assert (loaded.form.kernels, loaded.form.kv_dtype) == (plain.form.kernels, plain.form.kv_dtype)
    assert loaded.weights_bytes == plain.weights_bytes
    assert any("comes with fp8 weights" in note for note in loaded.notes)
    if kernels == "none" and scheme == "none":
        found, expected = (m.model.get_decoder().layers[0].mlp.up_proj for m in (loaded, plain))
        distance = torch.dist(found.weight, expected.weight) / expected.weight.norm()
        assert 0 < distance < 0.05


def test_weights_that_are_turned_back_are_counted_as_copied(machine, in_float8, saved):
    config = EngineConfig(model_id=str(in_float8), dtype="float32")
    converted = make_plan(examine(str(in_float8), print), config, machine)
    stored = make_plan(examine(str(saved), print), config, machine)
    assert stored.need.loading_bytes == stored.need.weights.total
    assert converted.form.is_converted
    assert converted.need.weights == stored.need.weights
    too_small = replace(machine, memory_available_bytes=converted.need.least_bytes - 1)
    assert "are free here" in refusal(too_small, in_float8, dtype="float32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has what the test wants absent")
@pytest.mark.parametrize("scheme", ["8bit", "4bit"])
def test_rounding_on_cuda_without_bitsandbytes_is_refused_before_loading(
    machine, saved, monkeypatch, scheme
):
    monkeypatch.setattr(quantizers, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delattr(loader, "read_weights")
    words = refusal(machine, saved, device="cuda", quantization=scheme)
    assert "pip install bitsandbytes accelerate" in words
    assert "llm_service[cuda]" in words


def test_rounding_on_cuda_is_8_bits_or_nf4_computed_in_bfloat16():
    eight, four = map(quantizers.bitsandbytes_config, ("8bit", "4bit"))
    assert eight.load_in_8bit
    assert not eight.load_in_4bit
    assert four.load_in_4bit
    assert four.bnb_4bit_quant_type == "nf4"
    assert four.bnb_4bit_compute_dtype == torch.bfloat16
    assert four.bnb_4bit_use_double_quant


@pytest.mark.parametrize(("is_fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_computes_in_bfloat16_where_it_does_so_itself(machine, monkeypatch, is_fast, dtype):
    def is_supported(including_emulation: bool) -> bool:
        return including_emulation or is_fast

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert choose_dtype(EngineConfig(), torch.device("cuda"), machine) == dtype


def test_kernels_can_be_switched_off(machine):
    loaded, _ = load(machine, "pocket", quantization="8bit", kernels="none")
    assert loaded.form.kernels is None
    assert any("LLM_KERNELS=none" in note for note in loaded.notes)


def test_kernels_that_the_processor_does_not_run_are_refused(machine):
    words = refusal(machine, "pocket", kernels="avx512")
    assert "LLM_KERNELS=avx512" in words
    assert "portable" in words


def test_code_in_the_folder_is_never_run(machine, folder):
    (folder / "modeling.py").write_text("raise SystemExit('ran')")
    (folder / "configuration.py").write_text("raise SystemExit('ran')")
    remote = {"AutoConfig": "configuration.Config", "AutoModelForCausalLM": "modeling.Model"}
    edit_json(folder / "config.json", model_type="custom", auto_map=remote)
    assert "never run" in refusal(machine, folder)


def test_a_folder_without_a_tokenizer_is_refused(machine, folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert "no tokenizer" in refusal(machine, folder)


def test_a_quantized_model_is_smaller_and_says_so(machine):
    sizes = []
    for scheme in ("none", "8bit", "4bit"):
        loaded, _ = load(machine, "pocket", quantization=scheme)
        assert loaded.form.quantization == scheme
        sizes.append(loaded.weights_bytes)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < 0.7 * sizes[1]


def test_the_cache_takes_the_type_that_was_asked_for(machine):
    sizes = []
    for dtype in ("float32", "bfloat16", "int8"):
        loaded, _ = load(machine, "pocket", kv_cache_dtype=dtype)
        assert loaded.form.kv_dtype == getattr(torch, dtype)
        sizes.append(plan_resources(EngineConfig(), loaded, machine).kv_cache_bytes)
    assert sizes[0] == 2 * sizes[1] > 2.5 * sizes[2]


def test_a_cache_that_the_layers_cannot_use_is_refused(machine, saved, monkeypatch):
    monkeypatch.setattr(forms, "find_kernels", lambda name: (None, "no compiler"))
    words = refusal(machine, saved, kv_cache_dtype="int8")
    assert "LLM_KV_CACHE_DTYPE=int8" in words
    assert "float32" in words


@pytest.mark.skipif(torch.cuda.is_available(), reason="has what the test wants absent")
def test_cuda_where_there_is_none_is_refused(machine, saved):
    assert "LLM_DEVICE=cuda" in refusal(machine, saved, device="cuda")


def test_a_model_that_does_not_fit_is_refused_with_the_numbers_before_it_is_loaded(
    machine, saved, monkeypatch
):
    monkeypatch.delattr(loader, "read_weights")
    words = refusal(replace(machine, memory_available_bytes=100 * 2**20), saved)
    assert "100 MiB are free" in words
    assert "take a smaller model or give the service more memory" in words


def test_a_hub_model_is_downloaded_once_and_loads_offline_afterwards(
    machine, hub, monkeypatch, saved
):
    loaded, _ = load(machine, "owner/tiny")
    assert loaded.model_id == "owner/tiny"
    expected = load_file(saved / "model.safetensors")["model.norm.weight"]
    assert torch.equal(loaded.model.state_dict()["model.norm.weight"], expected)
    assert hub.downloads["model.safetensors"] == 1
    load(machine, "owner/tiny")
    assert hub.downloads["model.safetensors"] == 1
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load(machine, "owner/tiny")[0].num_parameters == loaded.num_parameters


def test_a_download_says_how_far_it_is(machine, hub, monkeypatch):
    monkeypatch.setattr(model_files, "_SECONDS_BETWEEN_LINES", 0.0)
    _, lines = load(machine, "owner/tiny")
    assert any(line.startswith("downloading owner/tiny: ") and "MiB" in line for line in lines)


def test_a_hub_model_that_does_not_fit_is_refused_before_its_weights_are_downloaded(machine, hub):
    small = replace(machine, memory_available_bytes=100 * 2**20)
    assert "100 MiB are free" in refusal(small, "owner/tiny")
    assert hub.downloads["config.json"] == 1
    assert hub.downloads["model.safetensors"] == 0


def test_a_gated_model_says_what_to_do(machine, hub):
    assert "HF_TOKEN" in refusal(machine, "owner/gated")


def test_a_model_that_the_hub_does_not_have_is_refused(machine, hub):
    words = refusal(machine, "owner/absent")
    assert "no model owner/absent" in words
    assert "pocket" in words


def test_an_unreachable_hub_is_told_as_such(machine, empty_cache, monkeypatch):
    with hub_server({}) as closed:
        url = closed.url
    set_endpoint(monkeypatch, url)
    assert "the hub cannot be reached" in refusal(machine, "owner/tiny")


def test_offline_mode_is_respected(machine, hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal(machine, "owner/tiny")
    assert not hub.downloads


@pytest.fixture(scope="module")
def loaded(machine, saved):
    """One layer's heads: 2 of 8 numbers, 3 layers, keys and values, in float32."""
    return load(machine, saved)[0]


PER_TOKEN = 3 * 2 * 2 * 16 * 4  # layers, key and value, KV heads, head_dim, float32


def test_threads_are_the_whole_cores_of_the_quota(loaded, machine):
    for cores, threads in ((0.5, 1), (1.0, 1), (2.7, 2), (8.0, 8)):
        plan = plan_resources(EngineConfig(), loaded, replace(machine, cpu_cores=cores))
        assert plan.threads == threads


def test_with_plenty_of_memory_an_eighth_of_the_slots_can_have_the_longest_context(loaded, machine):
    plan = plan_resources(EngineConfig(), loaded, machine)
    assert plan.max_batch_size == 32
    assert plan.max_context == models.MAX_CONTEXT
    assert plan.kv_cache_bytes == 4 * models.MAX_CONTEXT * PER_TOKEN
    assert plan.notes == ()


def with_kv_room(machine, loaded, num_tokens):
    """A machine whose share for the KV cache is that of `num_tokens`."""
    workspace = memory.workspace_bytes(loaded.model.config, 32, EngineConfig().max_batched_tokens)
    room = 2 * num_tokens * PER_TOKEN + loaded.weights_bytes + workspace
    return replace(machine, memory_available_bytes=room)


def test_with_little_memory_there_are_fewer_slots_and_what_is_left_is_not_used_up(loaded, machine):
    small = with_kv_room(machine, loaded, 2 * models.MAX_CONTEXT)
    plan = plan_resources(EngineConfig(), loaded, small)
    assert plan.max_batch_size == 16
    assert plan.kv_cache_bytes == 2 * models.MAX_CONTEXT * PER_TOKEN


def test_with_very_little_memory_the_context_is_cut_and_it_is_said(loaded, machine):
    plan = plan_resources(EngineConfig(), loaded, with_kv_room(machine, loaded, 100))
    assert plan.max_context == 96  # whole blocks
    assert "96 tokens" in plan.notes[0]


def test_with_no_memory_left_it_is_refused(loaded, machine):
    with pytest.raises(ModelLoadError, match="LLM_KV_CACHE_BYTES"):
        plan_resources(EngineConfig(), loaded, with_kv_room(machine, loaded, 0))


def test_what_is_configured_is_taken(loaded, machine):
    config = EngineConfig(
        threads=3, kv_cache_bytes=200 * PER_TOKEN, max_batch_size=5, max_context=64
    )
    plan = plan_resources(config, loaded, machine)
    assert (plan.threads, plan.max_batch_size, plan.max_context) == (3, 5, 64)
    assert plan.kv_cache_bytes == 200 * PER_TOKEN


@pytest.mark.parametrize("config", [{"max_context": 100_000}, {"kv_cache_bytes": 50 * PER_TOKEN}])
def test_a_context_that_cannot_be_is_refused_where_it_was_asked_for(loaded, machine, config):
    with pytest.raises(ModelLoadError, match="LLM_MAX_CONTEXT"):
        plan_resources(EngineConfig(**{"max_context": 200, **config}), loaded, machine)


def test_the_sequential_engine_has_one_slot_and_no_cache_of_ours(machine, saved):
    loaded, _ = load(machine, saved, engine="sequential")
    plan = plan_resources(EngineConfig(engine="sequential"), loaded, machine)
    assert (plan.max_batch_size, plan.kv_cache_bytes) == (1, 0)
    assert plan.max_context == models.MAX_CONTEXT


def test_bundled_models_are_whole():
    assert set(bundled_models()) == {"pocket"}
    for folder in bundled_models().values():
        assert model_files.weight_files(folder)
        assert (folder / "tokenizer.json").is_file()
