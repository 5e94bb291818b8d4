"""`transformers serve`: the server that comes with transformers, bf16, with continuous batching."""

from pathlib import Path

from benchmarks.peers.base import Command, make_environment

VERSION = "5.23.0"
PACKAGES = ("torch==2.13.0", f"transformers[serving]=={VERSION}")


class TransformersServe:
    name = "transformers_serve"
    version = VERSION
    schemes = ("bf16", "bf16_batched")

    def install(self) -> None:
        make_environment(self.name, *PACKAGES)

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        return checkpoint

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        python = make_environment(self.name, *PACKAGES)
        program = python.parent / "transformers"
        arguments = [str(program), "serve", str(model), "--port", str(port), "--device", "cpu"]
        arguments += ["--dtype", "bfloat16"]
        if scheme == "bf16_batched":
            arguments.append("--continuous-batching")
        environment = {"OMP_NUM_THREADS": str(threads), "TRANSFORMERS_OFFLINE": "1"}
        return Command(arguments, environment, model=str(model))
