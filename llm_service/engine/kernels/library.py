"""The compiled kernels: loaded, and called through C.

Owns the structures that both sides share, whose C++ twins are in `csrc`, and turns the status
that a call returns into a KernelError.
"""

import ctypes
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

from llm_service.engine.kernels import build
from llm_service.engine.kernels.build import KernelsUnavailable
from llm_service.machine import Machine


class Status(IntEnum):
    """How a call ended: status.h's."""

    GOOD = 0
    OUT_OF_MEMORY = 1
    OUT_OF_BOUNDS = 2  # more was taken from a workspace than was counted
    INVALID_ARGUMENT = 3
    UNKNOWN_SCHEME = 4
    UNKNOWN_CACHE_TYPE = 5
    INTERNAL_ERROR = 6


class KernelError(Exception):
    """A call into the kernels failed, and its outputs must not be used. The next call may work."""

    def __init__(self, function: str, status: int, message: str) -> None:
        super().__init__(f"{function}: {message}")
        self.status = Status(status)


class Linear(ctypes.Structure):
    """linear.h\'s."""

    _fields_ = (
        ("scheme", ctypes.c_int32),
        ("n", ctypes.c_int32),
        ("k", ctypes.c_int32),
        ("num_outputs", ctypes.c_int32),
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("lower", ctypes.c_void_p),
        ("error_bounds", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
    )


class Attention(ctypes.Structure):
    """attention.h\'s."""

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
    """decoder.h\'s."""

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
    """attention.h\'s."""

    _fields_ = (
        ("num_heads", ctypes.c_int64),
        ("num_kv_heads", ctypes.c_int64),
        ("head_dim", ctypes.c_int64),
        ("cache_type", ctypes.c_int32),
        ("eps", ctypes.c_float),
    )


class Decoder(ctypes.Structure):
    """decoder.h\'s."""

    _fields_ = (
        ("num_layers", ctypes.c_int64),
        ("hidden_size", ctypes.c_int64),
        ("intermediate_size", ctypes.c_int64),
        ("layers", ctypes.POINTER(Layer)),
        ("heads", Heads),
    )


class Model(ctypes.Structure):
    """model.h\'s."""

    _fields_ = (
        ("decoder", ctypes.POINTER(Decoder)),
        ("embedding", Linear),
        ("head", Linear),
        ("norm", ctypes.c_void_p),
        ("eps", ctypes.c_float),
        ("rotary_dim", ctypes.c_int64),
        ("num_positions", ctypes.c_int64),
        ("cosines", ctypes.c_void_p),
        ("sines", ctypes.c_void_p),
    )


class Step(ctypes.Structure):
    """attention.h\'s."""

    _fields_ = (
        ("num_tokens", ctypes.c_int64),
        ("num_spans", ctypes.c_int64),
        ("starts", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("table_offsets", ctypes.c_void_p),
        ("rotary_starts", ctypes.c_void_p),
        ("tables", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("cosines", ctypes.c_void_p),
        ("sines", ctypes.c_void_p),
        ("rotary_dim", ctypes.c_int64),
        ("block_size", ctypes.c_int64),
    )


MIRRORED = (Linear, Attention, Layer, Heads, Decoder, Model, Step)


class _FieldLayout(ctypes.Structure):
    """layout.h's. A structure's own entry has no name of a field."""

    _fields_ = (
        ("structure", ctypes.c_char_p),
        ("field", ctypes.c_char_p),
        ("offset", ctypes.c_int64),
        ("size", ctypes.c_int64),
    )


class Kernels:
    """The functions of one built library. They raise KernelError."""

    def __init__(self, file: Path, instruction_set: str) -> None:
        """Raises KernelsUnavailable if `file` is no library that fits the structures here."""
        self.instruction_set = instruction_set
        try:
            self._library = ctypes.CDLL(str(file))
            self._bind_all()
        except (OSError, AttributeError) as error:
            raise KernelsUnavailable(f"{file} cannot be loaded: {error}") from error
        check_layouts(self._library, MIRRORED)

    @property
    def is_tuned(self) -> bool:
        """Whether the kernels use this CPU's vectors; without them torch may well be faster."""
        return self.instruction_set != "portable"

    def _bind_all(self) -> None:
        size, address, threads = ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32
        linear, decoder = ctypes.POINTER(Linear), ctypes.POINTER(Decoder)
        model, step = ctypes.POINTER(Model), ctypes.POINTER(Step)
        num_bytes = ctypes.POINTER(ctypes.c_int64)
        bind = self._bind
        self._message = self._library.kernels_message
        self._message.restype = ctypes.c_char_p
        self.decoder_forward = bind("decoder_forward", decoder, step, address, threads)
        self.linear_forward = bind(
            "linear_forward", linear, address, size, size, address, threads
        )  # fmt: skip
        self.head_forward = bind(
            "head_forward", linear, address, size, size, *[address] * 4, threads
        )
        self.model_forward = bind(
            "model_forward", model, step, address, address, size, *[address] * 4, threads
        )
        self.embedding_forward = bind("embedding_forward", linear, address, size, size, address)
        self.rows_best = bind(
            "rows_best", address, size, address, size, address, address, threads
        )  # fmt: skip
        self.rows_largest = bind(
            "rows_largest", address, size, address, size, size, address, address, threads
        )
        self.rows_weights = bind(
            "rows_weights", address, size, address, size, address, address, size, address, threads
        )
        self._decoder_workspace = bind("decoder_workspace", decoder, size, threads, num_bytes)
        self._linear_workspace = bind("linear_workspace", linear, size, threads, num_bytes)
        self._model_workspace = bind("model_workspace", model, size, size, threads, num_bytes)

    def decoder_workspace(self, decoder: Decoder, num_tokens: int, threads: int) -> int:
        """Bytes that a step of `num_tokens` works in; they are kept for the next step."""
        return _counted(self._decoder_workspace, ctypes.byref(decoder), num_tokens, threads)

    def linear_workspace(self, linear: Linear, num_rows: int, threads: int) -> int:
        return _counted(self._linear_workspace, ctypes.byref(linear), num_rows, threads)

    def model_workspace(self, model: Model, num_tokens: int, num_rows: int, threads: int) -> int:
        return _counted(self._model_workspace, ctypes.byref(model), num_tokens, num_rows, threads)

    def _bind(self, name: str, *types: Any) -> Any:
        function = getattr(self._library, name)

        def check(status: int, *_: object) -> int:
            if status != Status.GOOD:
                raise KernelError(name, status, self._message().decode(errors="replace"))
            return status

        function.argtypes, function.restype, function.errcheck = types, ctypes.c_int32, check
        return function


def _counted(function: Any, *arguments: Any) -> int:
    num_bytes = ctypes.c_int64()
    function(*arguments, ctypes.byref(num_bytes))
    return num_bytes.value


def check_layouts(library: ctypes.CDLL, mirrored: tuple[type[Any], ...]) -> None:
    """Raise KernelsUnavailable unless `mirrored` have the same layout as the library's structs."""
    count = ctypes.c_int64()
    library.kernels_layouts.restype = ctypes.POINTER(_FieldLayout)
    entries = library.kernels_layouts(ctypes.byref(count))[: count.value]
    theirs = {(e.structure.decode(), e.field.decode()): (e.offset, e.size) for e in entries}
    ours = {name: place for structure in mirrored for name, place in _layout_of(structure)}
    differing = [
        f"{'.'.join(filter(None, name))} has offset and size {ours.get(name, 'none')} in Python"
        f" and {theirs.get(name, 'none')} in C++"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if differing:
        raise KernelsUnavailable(f"library.py does not fit csrc: {'; '.join(differing)}")


def _layout_of(structure: type[Any]) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
    yield (structure.__name__, ""), (0, ctypes.sizeof(structure))
    for name, *_ in structure._fields_:
        field = getattr(structure, name)
        yield (structure.__name__, name), (field.offset, field.size)


@cache
def load_kernels(instruction_set: str | None = None) -> Kernels:
    """The library for this CPU, built first if need be; raises KernelsUnavailable.

    Without an `instruction_set`, the best one that this CPU has.
    """
    if instruction_set is None:
        return load_kernels(build.usable_instruction_sets(Machine.detect().cpu_flags)[0])
    import torch  # noqa: F401  # its OpenMP must be the one that the library finds

    return Kernels(build.find(instruction_set) or build.build(instruction_set), instruction_set)
