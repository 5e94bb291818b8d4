"""This service itself, so that it is started, driven and watched exactly as its peers are."""

import sys
from pathlib import Path

from benchmarks.peers.base import CONTEXT_TOKENS, MAX_STREAMS, PEERS, ROOT, Command, run
from llm_service import __version__

KEY = "a-key-for-the-benchmark-0123456789"
SAVED = ("8bit", "4bit")
# What each scheme sets beside the defaults.
SCHEMES = {
    "auto": {},
    "float32": {"LLM_DTYPE": "float32", "LLM_QUANTIZATION": "none"},
    "bf16": {"LLM_DTYPE": "bfloat16", "LLM_QUANTIZATION": "none"},
    "8bit": {},  # these two as `llm-service quantize` saved them
    "4bit": {},
    "8bit_loading": {"LLM_QUANTIZATION": "8bit"},
    "4bit_loading": {"LLM_QUANTIZATION": "4bit"},
}


class LlmService:
    name = "llm_service"
    version = __version__
    schemes = tuple(SCHEMES)

    def install(self) -> None:
        """It is what runs this."""

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        base = scheme.split(",")[0]
        if base not in SAVED:
            return checkpoint
        target = checkpoint / f"llm_service-{base}"
        if not target.exists():
            draft = target.with_suffix(".draft")
            quantize: list[str | Path] = [sys.executable, "-m", "llm_service", "quantize"]
            run([*quantize, checkpoint, "--scheme", base, "--out", draft], cwd=ROOT)
            draft.rename(target)
        return target

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        base, *settings = scheme.split(",")
        environment = {
            "LLM_MODEL_ID": str(model),
            "LLM_PORT": str(port),
            "LLM_THREADS": str(threads),
            "LLM_MAX_BATCH_SIZE": str(MAX_STREAMS),
            "LLM_MAX_CONTEXT": str(CONTEXT_TOKENS),
            "LLM_STATE_DIR": str(PEERS / self.name / "state"),
            "LLM_ADMIN_KEY": KEY,
            "LLM_LOG_LEVEL": "warning",
            # Random weights repeat themselves, so guesses would be right as they never are.
            "LLM_SPECULATION": "none",
            **SCHEMES[base],
            **dict(setting.split("=", 1) for setting in settings),
        }
        return Command([sys.executable, "-m", "llm_service", "serve"], environment, key=KEY)
