"""The table of architectures is complete, and so is the page made of it."""

import re
from pathlib import Path

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llm_service.engine.loading.checkpoint import read_config
from llm_service.engine.loading.model_files import ModelLoadError
from tests.strangers.architectures import (
    ENCODER_DECODERS,
    FAMILIES,
    NOT_SERVED,
    model_types,
    tiny_config,
)
from tests.strangers.table import PAGE


def test_every_architecture_of_transformers_is_tried_or_has_a_reason_not_to_be() -> None:
    assert sorted([*FAMILIES, *NOT_SERVED]) == sorted(model_types())


def test_the_page_of_models_has_a_line_for_each_architecture_and_no_other() -> None:
    page, _, _ = PAGE.read_text(encoding="utf-8").partition("## Images")
    rows = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted([*FAMILIES, *NOT_SERVED])


@pytest.mark.parametrize("model_type", ENCODER_DECODERS)
def test_an_encoder_decoder_model_is_refused_in_words(model_type: str, tmp_path: Path) -> None:
    CONFIG_MAPPING[model_type]().save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match="encoder-decoder"):
        read_config(tmp_path)


def test_a_tiny_configuration_of_each_architecture_is_read_as_its_own(tmp_path: Path) -> None:
    for model_type in FAMILIES:
        config = tiny_config(model_type)
        config.save_pretrained(tmp_path)
        assert type(read_config(tmp_path)) is type(config), model_type
