"""Plain `transformers.generate`, in its own process but without HTTP: what a notebook would do.

What it does there is in `benchmarks.in_process`.
"""

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers.base import ROOT, Command, MemoryWatch, PeerError


class TransformersGenerate:
    name = "transformers_generate"
    version = version("transformers")
    schemes = ("bf16", "float32")

    def install(self) -> None:
        """The service runs on the same library."""

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        return checkpoint

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        raise PeerError(f"{self.name} has no server; benchmarks.versus measures it in process.")

    def measure(
        self, checkpoint: Path, scheme: str, threads: int, measures: list[str]
    ) -> dict[str, dict[str, Any]]:
        """Values as `versus` takes them; `warm_prefix` is not among them: nothing is kept."""
        started = time.perf_counter()
        arguments = [str(checkpoint), scheme, str(threads), ",".join(measures)]
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.in_process", *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as process:
            memory = MemoryWatch(process.pid)
            assert process.stdout is not None
            process.stdout.readline()  # one token was generated
            ready = time.perf_counter() - started
            results = {name: {"value": x} for name, x in map(json.loads, process.stdout)}
            memory.stop()
        if process.returncode != 0:
            raise PeerError(f"{self.name} ended with status {process.returncode}")
        seen = {"ready": ready, "memory": memory.peak_bytes / 1e9}
        return results | {name: {"value": x} for name, x in seen.items() if name in measures}
