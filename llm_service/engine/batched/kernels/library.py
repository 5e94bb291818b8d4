"""The compiled kernels: found or built, loaded, and called through C.

Owns the structures that both sides share and the choice of the instruction set. The sources
are in `csrc`; a library is built once for each text of theirs and each instruction set.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from llm_service.machine import Machine

_SOURCES = Path(__file__).parent / "csrc"
_BUILT_WITH_PACKAGE = Path(__file__).parent / "lib"
_COMPILERS = ("c++", "g++", "clang++")
_BUILD_SECONDS = 300
_FLAGS = ("-std=c++17", "-O3", "-fno-tree-pre", "-shared", "-fPIC", "-fopenmp")
# Best first: what the CPU must have, and what the compiler is told.
_INSTRUCTION_SETS: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "avx512": (
        frozenset({"avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx2", "fma"}),
        ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mavx2", "-mfma"),
    ),
    "avx2": (frozenset({"avx2", "fma"}), ("-mavx2", "-mfma")),
    "portable": (frozenset(), ()),
}


class Linear(ctypes.Structure):
    """linear.h's."""

    _fields_ = (
        ("scheme", ctypes.c_int32),
        ("n", ctypes.c_int32),
        ("k", ctypes.c_int32),
        ("num_outputs", ctypes.c_int32),
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    )


class Attention(ctypes.Structure):
    """attention.h's."""

    _fields_ = (
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("key_scales", ctypes.c_void_p),
        ("value_scales", ctypes.c_void_p),
        ("query_norm", ctypes.c_void_p),
        ("key_norm", ctypes.c_void_p),
        ("scaling", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("window", ctypes.c_int64),
    )


class Layer(ctypes.Structure):
    """decoder.cpp's."""

    _fields_ = (
        ("attention_norm", ctypes.c_void_p),
        ("mlp_norm", ctypes.c_void_p),
        ("qkv", Linear),
        ("output", Linear),
        ("gate_up", Linear),
        ("down", Linear),
        ("attention", Attention),
    )


class Heads(ctypes.Structure):
    """attention.h's."""

    _fields_ = (
        ("num_heads", ctypes.c_int64),
        ("num_kv_heads", ctypes.c_int64),
        ("head_dim", ctypes.c_int64),
        ("cache_type", ctypes.c_int32),
        ("eps", ctypes.c_float),
    )


class Decoder(ctypes.Structure):
    """decoder.cpp's."""

    _fields_ = (
        ("num_layers", ctypes.c_int64),
        ("hidden_size", ctypes.c_int64),
        ("intermediate_size", ctypes.c_int64),
        ("layers", ctypes.POINTER(Layer)),
        ("heads", Heads),
    )


class Step(ctypes.Structure):
    """attention.h's."""

    _fields_ = (
        ("num_tokens", ctypes.c_int64),
        ("num_spans", ctypes.c_int64),
        ("starts", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("table_offsets", ctypes.c_void_p),
        ("tables", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("cosines", ctypes.c_void_p),
        ("sines", ctypes.c_void_p),
        ("rotary_dim", ctypes.c_int64),
        ("block_size", ctypes.c_int64),
    )


class KernelsUnavailable(Exception):
    """Says why they cannot be had; torch does the work then."""


class Kernels:
    """The functions of one built library."""

    def __init__(self, file: Path, instruction_set: str) -> None:
        self.instruction_set = instruction_set
        self.is_tuned = instruction_set != "portable"  # else torch may well be faster
        library = ctypes.CDLL(str(file))
        self.decoder_forward = library.decoder_forward
        self.decoder_forward.argtypes = (
            ctypes.POINTER(Decoder), ctypes.POINTER(Step), ctypes.c_void_p, ctypes.c_int32,
        )  # fmt: skip
        self.linear_forward = library.linear_forward
        self.linear_forward.argtypes = (
            ctypes.POINTER(Linear), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
            ctypes.c_void_p, ctypes.c_int32,
        )  # fmt: skip
        self.embedding_forward = library.embedding_forward
        self.embedding_forward.argtypes = (
            ctypes.POINTER(Linear), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
            ctypes.c_void_p,
        )  # fmt: skip
        for function in (self.decoder_forward, self.linear_forward, self.embedding_forward):
            function.restype = None


@cache
def load_kernels(instruction_set: str | None = None) -> Kernels:
    """The library for this CPU, built first if need be; raises KernelsUnavailable."""
    name = instruction_set or usable_instruction_sets(Machine.detect().cpu_flags)[0]
    import torch  # noqa: F401  # its OpenMP must be the one that the library finds

    return Kernels(_find(name) or build(name), name)


def usable_instruction_sets(cpu_flags: frozenset[str]) -> list[str]:
    """Best first."""
    return [name for name, (needed, _) in _INSTRUCTION_SETS.items() if needed <= cpu_flags]


def build(instruction_set: str, folder: Path | None = None) -> Path:
    """Compile into `folder`, else where there is room; raises KernelsUnavailable."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise KernelsUnavailable(f"there is no C++ compiler ({', '.join(_COMPILERS)})")
    target = (folder or _writable_folder()) / _file_name(instruction_set)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        command = [compiler, *_FLAGS, *_INSTRUCTION_SETS[instruction_set][1]]
        command += ["-o", str(made), str(_SOURCES / "decoder.cpp")]
        try:
            result = subprocess.run(  # noqa: S603  # our own sources, the machine's compiler
                command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KernelsUnavailable(f"{compiler} did not run: {error}") from error
        if result.returncode != 0:
            first = (result.stderr.strip().splitlines() or ["no word why"])[0]
            raise KernelsUnavailable(f"{compiler} could not build them: {first}")
        made.replace(target)  # at once, so that nobody loads half a library
    for old in target.parent.glob(f"{instruction_set}-*.so"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def _find(instruction_set: str) -> Path | None:
    name = _file_name(instruction_set)
    places = (_BUILT_WITH_PACKAGE / name, _cache_folder() / name)
    return next((file for file in places if file.is_file()), None)


def _file_name(instruction_set: str) -> str:
    text = b"".join(file.read_bytes() for file in sorted(_SOURCES.iterdir()))
    flags = " ".join(_FLAGS + _INSTRUCTION_SETS[instruction_set][1]).encode()
    return f"{instruction_set}-{hashlib.sha256(flags + text).hexdigest()[:16]}.so"


def _writable_folder() -> Path:
    folder = _BUILT_WITH_PACKAGE
    return folder if os.access(folder.parent, os.W_OK) else _cache_folder()


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "llm_service" / "kernels"
