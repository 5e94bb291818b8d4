"""This service itself, so that it is started, driven and watched exactly as its peers are."""

import sys
from pathlib import Path

from benchmarks.peers.base import MAX_STREAMS, PEERS, Command
from llm_service import __version__

KEY = "a-key-for-the-benchmark-0123456789"
# What each scheme sets beside the defaults.
SCHEMES = {
    "auto": {},
    "float32": {"LLM_DTYPE": "float32"},
    "bf16": {"LLM_DTYPE": "bfloat16"},
    "8bit": {"LLM_QUANTIZATION": "8bit"},
    "4bit": {"LLM_QUANTIZATION": "4bit"},
}


class LlmService:
    name = "llm_service"
    version = __version__
    schemes = tuple(SCHEMES)

    def install(self) -> None:
        """It is what runs this."""

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        return checkpoint

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        base, *settings = scheme.split(",")
        environment = {
            "LLM_MODEL_ID": str(model),
            "LLM_PORT": str(port),
            "LLM_THREADS": str(threads),
            "LLM_MAX_BATCH_SIZE": str(MAX_STREAMS),
            "LLM_STATE_DIR": str(PEERS / self.name / "state"),
            "LLM_ADMIN_KEY": KEY,
            "LLM_LOG_LEVEL": "warning",
            **SCHEMES[base],
            **dict(setting.split("=", 1) for setting in settings),
        }
        return Command([sys.executable, "-m", "llm_service", "serve"], environment, key=KEY)
