"""The table of architectures is complete, and so is the page made of it."""

import re

from tests.strangers.architectures import FAMILIES, NOT_SERVED, model_types
from tests.strangers.table import PAGE


def test_every_architecture_of_transformers_is_tried_or_has_a_reason_not_to_be() -> None:
    assert sorted([*FAMILIES, *NOT_SERVED]) == sorted(model_types())


def test_the_page_of_models_has_a_line_for_each_architecture_and_no_other() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted([*FAMILIES, *NOT_SERVED])
