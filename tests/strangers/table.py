"""The result of each architecture, stored in one file each, and docs/models.md made from them.

A run may cover only some architectures; the page is written when all results exist.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.strangers.architectures import FAMILIES, NOT_SERVED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models.md"
RECORDS = ROOT / "build" / "models"
_SEQUENTIAL = "runs one request at a time because "
_UNFUSED = "runs its layers part by part because "


@dataclass(slots=True)
class Row:
    """The result of one architecture. An empty string means that there is no problem."""

    model_type: str
    architecture: str = ""
    engine: str = ""
    sequential_reason: str = ""
    unfused_reason: str = ""
    alone: str = "was not asked"
    together: str = "was not asked"
    quantized: dict[str, str] = field(default_factory=dict)  # result by requested quantization
    failure: str = ""

    def describe(self, page: Mapping[str, Any]) -> None:
        """Record what /api/engine reports about the model with unquantized weights."""
        model = page["model"]
        self.architecture = model["architecture"]
        self.engine = page["engine"]["kind"]
        self.sequential_reason = _said(model["notes"], _SEQUENTIAL)
        self.unfused_reason = _said(model["notes"], _UNFUSED)

    def describe_quantized(self, asked: str, page: Mapping[str, Any]) -> None:
        model = page["model"]
        own = [n for n in model["notes"] if not n.startswith((_SEQUENTIAL, _UNFUSED))]
        is_done = model["quantization"] == asked
        self.quantized[asked] = "; ".join((*(["yes"] if is_done else []), *own)) or "no"

    def problems(self) -> list[str]:
        """The service's faults, one sentence each."""
        found = [self.failure] if self.failure else []
        found += [f"alone: {self.alone}"] if self.alone else []
        found += [f"six at once: {self.together}"] if self.together else []
        found += [f"{bits} is ignored" for bits, words in self.quantized.items() if words == "no"]
        return found


def _said(notes: Iterable[str], beginning: str) -> str:
    return next((n.removeprefix(beginning) for n in notes if n.startswith(beginning)), "")


def write_row(row: Row) -> None:
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / f"{row.model_type}.json").write_text(json.dumps(asdict(row), indent=1))


def write_table() -> None:
    """Write docs/models.md, if every architecture has a result."""
    files = [RECORDS / f"{model_type}.json" for model_type in FAMILIES]
    if all(file.is_file() for file in files):
        PAGE.write_text(page_of([Row(**json.loads(file.read_text())) for file in files]))


def page_of(rows: list[Row]) -> str:
    equal = [row for row in rows if not row.alone and not row.together]
    batched = [row for row in rows if row.engine == "batched"]
    fused = [row for row in batched if not row.unfused_reason]
    rounded = [row for row in rows if not row.failure and len(row.quantized) == 2]
    summary = (
        f"The answers of {len(equal)} of {len(rows)} architectures equal `transformers.generate`\n"
        f"token for token: {len(batched)} run batched ({len(fused)} with fused layers),"
        f" {len(rows) - len(batched)} run one request at a time.\n"
        f"{len(rounded)} also run with weights in 8 and in 4 bits."
    )
    lines = [_INTRODUCTION.format(summary=summary), *_HEAD]
    lines += [_line(row) for row in rows]
    lines += ["", "## Not served", "", "| model type | why |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in sorted(NOT_SERVED.items())]
    lines += ["", _IMAGES.rstrip()]
    return "\n".join(lines) + "\n"


_INTRODUCTION = """\
# Models

{summary}

`make test-models` (`tests/strangers/`) writes this page. For each architecture that can generate
text in the pinned transformers library, it creates a tiny random model, serves it over HTTP in
float32, and compares the greedy answers with those of the unmodified model: first one request
alone, then six requests of different lengths at once. Then it sends requests to the model with its
weights rounded to 8 and to 4 bits. A tiny model shows that an architecture is computed correctly.
It does not show that a large checkpoint fits or is fast; `llm-service doctor` does.

*Fused* models compute all layers in one call of compiled kernels. Models that are not fused give
the same answers more slowly. The reasons in the table are the service's own messages, which it
also shows at the start and on the dashboard's page Engine.
"""
_IMAGES = """\
## Images

A model sees if it has a vision encoder, an image processor and a chat template with a place for
images. Which of these is missing is said at the start and on the page Engine. The model's own
processor and encoder are used; pictures of more than 1,003,520 pixels are scaled down first.

| model type | runs | an image is |
|---|---|---|
| `qwen2_vl`, `qwen2_5_vl`, `qwen3_vl` | batched, fused | a token per 28 x 28 or 32 x 32 pixels |
| `llava` | batched, fused with most text models | as many tokens as its encoder makes (often 576) |
| `internvl` | batched, fused with most text models | 256 tokens per tile and for the whole |
| `idefics3`, `smolvlm` | batched, fused | 64 to 169 tokens per tile |
| `gemma3`, `qwen3_5` and others | one request at a time | what the model's own processor says |

In float32, the answers of the batched families equal those of `transformers.generate` token for
token, also with several images, images in several turns, chunks that end within an image,
preemption and cached prefixes (`tests/engine/vision/`). In Gemma 3 the tokens of an image see each
other in both directions, and Qwen3.5 keeps a state beside the KV cache, so these two run one
request at a time, through their own `generate`; around an image, Gemma 3 may get line breaks as
other tokens than its own processor would make. `pixtral`, `mistral3` and `lfm2_vl` have processors
that need the package torchvision, so they read only text here. On a CPU, weights in 8 and in
4 bits are those of the language part: the encoder is not rounded, and is held in float32, or in
bfloat16 if the CPU multiplies it natively.
"""
_HEAD = [
    "| model type | runs | fused | 8 bits | 4 bits | equal alone | equal six at once |",
    "|---|---|---|---|---|---|---|",
]


def _line(row: Row) -> str:
    if row.failure and not row.engine:
        return f"| `{row.model_type}` | does not start: {_cell(row.failure)} | | | | | |"
    runs = row.engine + (f": {row.sequential_reason}" if row.sequential_reason else "")
    fused = "" if row.engine != "batched" else f"no: {row.unfused_reason}"
    if row.engine == "batched" and not row.unfused_reason:
        fused = "yes"
    cells = [
        runs,
        fused,
        *(row.quantized.get(bits) or f"fails: {row.failure}" for bits in ("8bit", "4bit")),
        row.alone or "yes",
        row.together or "yes",
    ]
    return f"| `{row.model_type}` | {' | '.join(map(_cell, cells))} |"


def _cell(words: str) -> str:
    return " ".join(words.replace("|", "\\|").split())
