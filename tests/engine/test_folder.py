"""What a model's folder says beside its weights is checked before a start, file by file."""

import json
import shutil

import pytest

from llm_service.api.schemas import SamplingFields
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.checkpoint import examine
from llm_service.engine.loading.loader import ModelLoadError, load_model
from llm_service.engine.loading.plan import make_plan
from llm_service.engine.loading.weights import check_folder
from llm_service.engine.ranges import RANGES
from llm_service.machine import Machine
from tests.engine import models, tokenizers


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A tiny model's folder; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    models.fresh_model("qwen2").save_pretrained(folder)
    tokenizers.byte_level().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "tiny")


def load(folder, **settings):
    config = EngineConfig(model_id=str(folder), **settings)
    return load_model(config, Machine.detect(), lambda line: None)


def refusal(folder):
    """The words of a start and of an examination, which agree."""
    with pytest.raises(ModelLoadError) as caught:
        load(folder)
    assert str(caught.value) in reasons(folder)
    return str(caught.value)


def reasons(folder):
    config = EngineConfig(model_id=str(folder))
    try:
        plan = make_plan(examine(str(folder), lambda line: None), config, Machine.detect())
    except ModelLoadError as error:
        return [str(error)]
    return check_folder(plan)[0]


def edit_json(file, **changes):
    stated = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(stated | changes))


JSON_FILES = ("config.json", "generation_config.json", "tokenizer_config.json")


@pytest.mark.parametrize("name", [*JSON_FILES, "model.safetensors.index.json"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("\ufeff{}", "begins with a byte order mark"),
        ('{"a": 1', "is not valid JSON"),
        ("[1, 2]", "must hold a JSON object, but holds a list"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_json_file_that_cannot_be_read_is_named(folder, name, content, words):
    (folder / name).write_text(content, encoding="utf-8")
    assert refusal(folder).startswith(f"{folder / name} {words}")


def test_a_file_that_is_not_utf_8_is_named(folder):
    (folder / "config.json").write_bytes(b'{"model_type": "\xff"}')
    assert str(folder / "config.json") in refusal(folder)


def test_a_broken_tokenizer_is_named(folder):
    (folder / "tokenizer.json").write_text("[]")
    assert "tokenizer.json" in refusal(folder)


@pytest.mark.parametrize("name", ["model.gguf", "config.json"])
def test_gguf_is_named_whether_a_file_or_a_folder_of_it_is_asked_for(folder, name):
    weights = (folder / "model.safetensors").rename(folder / "model.gguf")
    if name == "config.json":
        (folder / name).unlink()
    asked = weights if name == "model.gguf" else folder
    assert "GGUF" in refusal(asked)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": "four"},
        {"num_attention_heads": 0},
        {"num_key_value_heads": [1, 2]},
        {"hidden_size": -1},
        {"layer_types": ["full_attention"]},
        {"rope_parameters": 7},
        {"eos_token_id": "<|im_end|>"},
        {"eos_token_id": [1.5]},
        {"per_layer_config": {"9": {"head_dim": 8}}},
        {"llm_service": [1]},
    ],
)
def test_a_configuration_of_the_wrong_types_is_refused_in_words(folder, changes):
    edit_json(folder / "config.json", **changes)
    assert "config.json" in refusal(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_new_tokens": 0},
        {"max_new_tokens": "x"},
        {"pad_token_id": "x"},
        {"early_stopping": "x"},
        {"cache_implementation": "nope"},
        {"compile_config": 3},
        {"watermarking_config": 3},
    ],
)
def test_generation_settings_that_the_service_does_not_use_may_be_wrong(folder, changes):
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.5, **changes}))
    assert load(folder).default_sampling == {"temperature": 0.5}


@pytest.mark.parametrize(
    "link",
    [
        "config.json",
        "tokenizer.json",
        "model.safetensors",
        "chat_template.jinja",
        "additional_chat_templates",
        "additional_chat_templates/tool.jinja",
    ],
)
def test_a_link_out_of_the_folder_is_refused(folder, tmp_path, link):
    if "template" in link:
        file = folder / (link if link.endswith(".jinja") else f"{link}/tool.jinja")
        file.parent.mkdir(exist_ok=True)
        file.write_text("{{ messages[0].content }}")
    outside = (folder / link).rename(tmp_path / "outside")
    (folder / link).symlink_to(outside)
    words = refusal(folder)
    assert str(folder / link) in words
    assert "leads out of the model's folder" in words


@pytest.mark.parametrize("is_absolute", [True, False])
def test_an_index_that_names_a_file_outside_is_refused(folder, tmp_path, is_absolute):
    outside = (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    name = str(outside) if is_absolute else f"../{outside.name}"
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    assert "leads out of the model's folder" in refusal(folder)


@pytest.mark.parametrize("stated", [{}, {"weight_map": []}, {"weight_map": {"a": [1]}}])
def test_an_index_that_is_none_is_refused(folder, stated):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(stated))
    assert "model.safetensors.index.json" in refusal(folder)


def test_links_within_the_folder_and_into_the_hubs_cache_are_followed(saved, tmp_path):
    repository = tmp_path / "hub" / "models--owner--tiny"
    snapshot = repository / "snapshots" / "1a2b"
    shared = tmp_path / "hub" / "blobs"
    for made in (snapshot, repository / "blobs", shared):
        made.mkdir(parents=True)
    for i, file in enumerate(sorted(saved.iterdir())):
        blob = (shared if i % 2 else repository / "blobs") / str(i)
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(blob)
    (snapshot / "NOTES.txt").symlink_to(snapshot / "config.json")
    assert reasons(snapshot) == []
    assert load(snapshot).num_parameters == load(saved).num_parameters


def defaults(folder, **stated):
    edit_json(folder / "generation_config.json", **stated)
    loaded = load(folder)
    return loaded.default_sampling, [n for n in loaded.notes if "generation_config.json" in n]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("repetition_penalty", 0.0),
        ("temperature", "hot"),
        ("temperature", -1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", True),
        ("temperature", 10**400),
        ("top_p", 2),
        ("top_k", 1.5),
        ("top_k", -2),
        ("min_p", [0.1]),
    ],
)
def test_a_sampling_default_out_of_range_is_left_out_with_a_note(folder, name, value):
    sampling, notes = defaults(folder, **{name: value})
    assert sampling == {}
    (note,) = notes
    assert note.startswith(f"ignores {name} in generation_config.json: it is ")
    assert note.endswith(f"but must be {RANGES[name].words}")


def test_sampling_defaults_within_the_ranges_are_taken(folder):
    stated = {"temperature": 0.6, "top_p": 0.9, "top_k": -1, "min_p": 0, "repetition_penalty": 1.1}
    assert defaults(folder, **stated) == (stated, [])


def test_a_model_that_says_not_to_sample_is_greedy(folder):
    assert defaults(folder, do_sample=False, temperature=0.6) == ({"temperature": 0.0}, [])


def test_do_sample_of_another_type_is_left_out_with_a_note(folder):
    sampling, (note,) = defaults(folder, do_sample="no", temperature=0.6)
    assert sampling == {"temperature": 0.6}
    assert "do_sample" in note


@pytest.mark.parametrize("name", RANGES)
def test_the_ranges_of_defaults_are_those_of_requests(name):
    """Judged by both: the ends of the range, what lies just beyond, and what is no number."""
    stated = RANGES[name]
    ends = [end for end in (stated.least, stated.most) if end is not None]
    for value in (*ends, *(end - 1 for end in ends), *(end + 1 for end in ends), "hot", None):
        try:
            SamplingFields.model_validate({"model": "m", name: value})
            is_taken = value is not None
        except ValueError:
            is_taken = False
        assert stated.holds(value) == is_taken, value


def test_a_template_that_does_not_render_is_told(folder):
    (folder / "chat_template.jinja").write_text("{{ messages[0].no.such.thing }}")
    assert any(note.startswith("cannot chat") for note in load(folder).notes)


def test_a_tokenizer_with_more_tokens_than_the_model_is_told(folder):
    size = len(tokenizers.byte_level())
    note = f"knows {models.VOCAB_SIZE} tokens, but its tokenizer has {size}"
    assert any(each.startswith(note) for each in load(folder).notes)
