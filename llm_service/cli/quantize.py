"""`llm-service quantize`: rounds a model's weights once, so that later starts are fast."""

import sys
from pathlib import Path
from typing import Annotated, NoReturn, cast

import typer


def quantize(
    model: Annotated[str, typer.Argument(help="A bundled model, a folder or a hub id.")],
    out: Annotated[Path, typer.Option(help="Folder to create.")],
    scheme: Annotated[str, typer.Option(help="8bit or 4bit.")] = "8bit",
) -> None:
    """Write MODEL with rounded weights into a folder that LLM_MODEL_ID can name."""
    if scheme not in ("8bit", "4bit"):
        _fail(f"--scheme is 8bit or 4bit, not {scheme}.", 2)
    if out.exists():
        _fail(f"{out} is there already.", 2)
    # These imports load torch, which takes seconds.
    from llm_service.engine.config import EngineConfig, Quantization
    from llm_service.engine.kernels.files import save_fused
    from llm_service.engine.kernels.fused import fused_decoder
    from llm_service.engine.loading.loader import ModelLoadError, load_model
    from llm_service.machine import Machine

    config = EngineConfig(model_id=model, device="cpu", quantization=cast(Quantization, scheme))
    try:
        loaded = load_model(config, Machine.detect(), lambda line: print(line, file=sys.stderr))
        if loaded.whole is not loaded.model:
            _fail(f"{model} cannot be written: such a folder has no place for its encoder.", 1)
        if fused_decoder(loaded.model) is None:
            _fail(f"{model} cannot be written: it {'; it '.join(loaded.notes)}.", 1)
        save_fused(
            loaded.model,
            loaded.folder,
            out,
            quantization=scheme,
            num_parameters=loaded.num_parameters,
        )
    except (ModelLoadError, OSError) as error:
        _fail(str(error), 1)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {size / 1e6:,.1f} MB in {scheme}. Serve it with LLM_MODEL_ID={out}")


def _fail(words: str, code: int) -> NoReturn:
    print(f"error: {words}", file=sys.stderr)
    raise typer.Exit(code)
