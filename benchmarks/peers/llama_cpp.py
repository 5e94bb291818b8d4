"""llama.cpp's own server, built for this machine from the source that llama-cpp-python ships.

Building takes about ten minutes of two cores, once, and needs cmake and a C++ compiler.
"""

import shutil
import sys
import tarfile
from pathlib import Path

from benchmarks.peers.base import (
    CACHE_TOKENS,
    MAX_STREAMS,
    PEERS,
    Command,
    PeerError,
    run,
)

FOLDER = PEERS / "llama_cpp"
SOURCE = FOLDER / "source" / "vendor" / "llama.cpp"
BUILD = FOLDER / "build"
# The server alone, for the processor at hand; no page, no downloads.
OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "ON",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
    "LLAMA_CURL": "OFF",
    "LLAMA_OPENSSL": "OFF",
}


class LlamaCpp:
    name = "llama_cpp"
    version = "0.3.36"  # of llama-cpp-python; llama.cpp's is in its server's log
    schemes = ("bf16", "q8_0", "q4_0", "q4_k_m")

    def install(self) -> None:
        if (BUILD / "bin" / "llama-server").exists():
            return
        if shutil.which("cmake") is None:
            raise PeerError("llama.cpp is built from source: install cmake and a C++ compiler.")
        if not SOURCE.exists():
            self._download()
        settings = [f"-D{name}={value}" for name, value in OPTIONS.items()]
        run(["cmake", "-S", SOURCE, "-B", BUILD, *settings])
        run(["cmake", "--build", BUILD, "-j", "2", "--target", "llama-server", "llama-quantize"])

    def _download(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        package = f"llama-cpp-python=={self.version}"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        run([*pip, "--no-binary", "llama-cpp-python", "--dest", FOLDER, package])
        archive = next(FOLDER.glob("llama_cpp_python-*.tar.gz"))
        with tarfile.open(archive) as tar:
            tar.extractall(FOLDER, filter="data")
        (FOLDER / f"llama_cpp_python-{self.version}").rename(FOLDER / "source")
        archive.unlink()

    def convert(self, checkpoint: Path, scheme: str) -> Path:
        whole = checkpoint / "llama_cpp-bf16.gguf"
        if not whole.exists():
            converter = Path(__file__).parent / "llama_cpp_convert.py"
            draft = whole.with_suffix(".draft")
            # This environment has what the converter needs, and its gguf library lies beside it.
            run([sys.executable, converter, SOURCE, checkpoint, draft])
            draft.rename(whole)
        target = checkpoint / f"llama_cpp-{scheme}.gguf"
        if not target.exists():
            draft = target.with_suffix(".draft")
            run([BUILD / "bin" / "llama-quantize", whole, draft, scheme.upper(), "2"])
            draft.rename(target)
        return target

    def command(self, model: Path, scheme: str, port: int, threads: int) -> Command:
        arguments = {
            "--model": model,
            "--port": port,
            "--threads": threads,
            "--threads-batch": threads,
            "--parallel": MAX_STREAMS,
            "--ctx-size": CACHE_TOKENS,
        }
        flat = [str(part) for pair in arguments.items() for part in pair]
        # One cache for all slots, so that a single long prompt may use what the others leave.
        return Command([str(BUILD / "bin" / "llama-server"), *flat, "--kv-unified"])
