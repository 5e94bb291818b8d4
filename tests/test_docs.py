"""What the docs list is what the code has, both ways."""

import re
from pathlib import Path

from llm_service import access, errors
from llm_service.access import keys
from llm_service.config import Settings
from llm_service.errors import ServiceError

DOCS = Path(__file__).parent.parent / "docs"


def first_column(page: str) -> set[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def all_errors(base: type[ServiceError] = ServiceError) -> set[type[ServiceError]]:
    return {base}.union(*(all_errors(child) for child in base.__subclasses__()))


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    assert first_column("settings.md") == {f"LLM_{name.upper()}" for name in Settings.model_fields}


def test_the_documented_default_of_each_setting_is_the_one_in_the_code() -> None:
    text = (DOCS / "settings.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `LLM_([^`]+)` \| `?([^|`]*)`? \|", text, re.MULTILINE))
    for name, field in Settings.model_fields.items():
        default = field.default
        words = str(default).lower() if isinstance(default, bool) else str(default)
        assert documented[name.upper()].strip() == ("" if default in (None, "") else words), name


def test_every_error_is_documented_with_its_status_and_type_and_no_other() -> None:
    assert access
    assert keys
    assert errors
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| (\d+) \| `([^`]+)` \| `([^`]+)` \|", text, re.MULTILINE))
    assert documented == {(str(e.status), e.type, e.code) for e in all_errors()}
