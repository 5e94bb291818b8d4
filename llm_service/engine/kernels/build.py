"""Builds the kernels from `csrc`, a library for each instruction set, and finds those built before.

Owns the compiler, its flags, and where libraries are kept. A library's name has a hash of its
sources and flags, so changed sources make another library. Needs no other module:
`python build.py FOLDER` builds all that this kind of machine can use, as images do.

KERNELS_FLAVOUR is for working on the kernels, no setting of the service: `strict` makes warnings
errors, which tests do (tests/conftest.py) and users' compilers must not, since a newer one may
warn of something new; `sanitized` adds AddressSanitizer and UndefinedBehaviorSanitizer
(`make sanitize`).
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_SOURCES = Path(__file__).parent / "csrc"
_BUILT_WITH_PACKAGE = Path(__file__).parent / "lib"
_COMPILERS = ("c++", "g++", "clang++")
_BUILD_SECONDS = 300
_FLAGS = ("-std=c++17", "-O3", "-fno-tree-pre", "-shared", "-fPIC", "-fopenmp")
_WARNINGS = ("-Wall", "-Wextra", "-Werror")
_FLAVOURS = {
    "": (),
    "strict": _WARNINGS,
    # A division by zero in float32 is defined; it is checked only for integers.
    "sanitized": (
        *("-O1", "-g", "-fno-omit-frame-pointer", "-Wall", "-Wextra"),
        *("-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"),
    ),
}
# Best first: the CPU flags that it needs, and the compiler's options.
_INSTRUCTION_SETS: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "avx512": (
        frozenset({"avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx2", "fma"}),
        (
            *("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni", "-mavx2", "-mfma"),
            # GCC 12 warns of its own _mm512_undefined_*.
            *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),
        ),
    ),
    "avx2": (frozenset({"avx2", "fma"}), ("-mavx2", "-mfma")),
    "portable": (frozenset(), ()),
}


class KernelsUnavailable(Exception):
    """Why the kernels cannot be built or loaded. torch does the work then."""


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
        command = [compiler, *_flags(instruction_set)]
        command += ["-o", str(made), str(_SOURCES / "kernels.cpp")]
        try:
            result = subprocess.run(  # noqa: S603  # our own sources, the machine's compiler
                command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KernelsUnavailable(f"{compiler} did not run: {error}") from error
        if result.returncode != 0:
            raise KernelsUnavailable(f"{compiler} failed: {_first_error(result.stderr)}")
        made.replace(target)  # atomic, so that nobody loads half a library
    for old in target.parent.glob(f"{_prefix(instruction_set)}-*.so"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def _first_error(stderr: str) -> str:
    """The line that says what is wrong: a compiler first says where it is."""
    lines = stderr.strip().splitlines() or ["it gave no reason"]
    return next((line for line in lines if "error:" in line), lines[0])


def find(instruction_set: str) -> Path | None:
    name = _file_name(instruction_set)
    places = (_BUILT_WITH_PACKAGE / name, _cache_folder() / name)
    return next((file for file in places if file.is_file()), None)


def _file_name(instruction_set: str) -> str:
    text = b"".join(file.read_bytes() for file in sorted(_SOURCES.iterdir()))
    flags = " ".join(_flags(instruction_set)).encode()
    return f"{_prefix(instruction_set)}-{hashlib.sha256(flags + text).hexdigest()[:16]}.so"


def _prefix(instruction_set: str) -> str:
    return "-".join(filter(None, (flavour(), instruction_set)))


def _flags(instruction_set: str) -> tuple[str, ...]:
    return (*_FLAGS, *_FLAVOURS[flavour()], *_INSTRUCTION_SETS[instruction_set][1])


def flavour() -> str:
    """How the library is built: as users do (empty), `strict` or `sanitized`."""
    return os.environ.get("KERNELS_FLAVOUR", "")


def _writable_folder() -> Path:
    folder = _BUILT_WITH_PACKAGE
    return folder if os.access(folder.parent, os.W_OK) else _cache_folder()


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "llm_service" / "kernels"


def main() -> None:
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    for name in _INSTRUCTION_SETS if is_x86 else ("portable",):
        build(name, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
