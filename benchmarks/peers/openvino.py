"""OpenVINO GenAI's continuous batching, behind the least HTTP server (servers/streaming.py).

It comes as a library; its own server (OpenVINO Model Server) is an image for containers. The
weights are converted by optimum-intel, as its users are told to.
"""

import shutil
from pathlib import Path

from benchmarks.peers.base import Command, make_environment, run

VERSION = "2026.4.1.0"
PACKAGES = (
    "torch==2.13.0",
    f"openvino-genai=={VERSION}",
    "optimum-intel==2.2.0",
    "nncf==3.4.0",
)
# The defaults of `optimum-cli export openvino` for each type of weights.
WEIGHTS = {"bf16": "bf16", "int8": "int8", "int4": "int4"}


class OpenVino:
    name = "openvino"
    version = VERSION
    schemes = tuple(WEIGHTS)

    def install(self) -> None:
        _environment()

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        target = checkpoint / f"openvino-{scheme}"
        if target.exists():
            return target
        draft = checkpoint / f"openvino-{scheme}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        program = _environment().parent / "optimum-cli"
        options = ["--task", "text-generation-with-past", "--weight-format", WEIGHTS[scheme]]
        run([program, "export", "openvino", "--model", checkpoint, *options, draft])
        return draft.rename(target)

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        server = Path(__file__).parent / "servers" / "openvino_server.py"
        return Command([str(_environment()), str(server), str(model), str(port), str(threads)])


def _environment() -> Path:
    # The index has torchvision for CUDA's torch only; nothing here needs it.
    return make_environment("openvino", *PACKAGES, without=("torchvision",))
