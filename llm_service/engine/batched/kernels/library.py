"""The compiled kernels: loaded, and called through C.

Owns the structures that both sides share; their C++ twins are in `csrc`.
"""

import ctypes
from functools import cache
from pathlib import Path

from llm_service.engine.batched.kernels import build
from llm_service.machine import Machine


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
        ("lower", ctypes.c_void_p),
        ("doubts", ctypes.c_void_p),
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


class Model(ctypes.Structure):
    """decoder.cpp's."""

    _fields_ = (
        ("decoder", ctypes.POINTER(Decoder)),
        ("embedding", Linear),
        ("head", Linear),
        ("norm", ctypes.c_void_p),
        ("eps", ctypes.c_float),
        ("rotary_dim", ctypes.c_int64),
        ("cosines", ctypes.c_void_p),
        ("sines", ctypes.c_void_p),
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
        self.head_forward = library.head_forward
        self.head_forward.argtypes = (
            ctypes.POINTER(Linear), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32,
        )  # fmt: skip
        self.model_forward = library.model_forward
        self.model_forward.argtypes = (
            ctypes.POINTER(Model), ctypes.POINTER(Step), ctypes.c_void_p, ctypes.c_void_p,
            ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32,
        )  # fmt: skip
        self.decoder_workspace = library.decoder_workspace
        self.decoder_workspace.argtypes = (ctypes.POINTER(Decoder), ctypes.c_int64)
        self.linear_workspace = library.linear_workspace
        self.linear_workspace.argtypes = (ctypes.POINTER(Linear), ctypes.c_int64)
        self.model_workspace = library.model_workspace
        self.model_workspace.argtypes = (ctypes.POINTER(Model), ctypes.c_int64, ctypes.c_int64)
        for function in (self.decoder_workspace, self.linear_workspace, self.model_workspace):
            function.restype = ctypes.c_int64
        self.embedding_forward = library.embedding_forward
        self.embedding_forward.argtypes = (
            ctypes.POINTER(Linear), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
            ctypes.c_void_p,
        )  # fmt: skip
        self.rows_best = library.rows_best
        self.rows_best.argtypes = (
            ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
            ctypes.c_void_p, ctypes.c_int32,
        )  # fmt: skip
        self.rows_largest = library.rows_largest
        self.rows_largest.argtypes = (
            ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32,
        )  # fmt: skip
        self.rows_weights = library.rows_weights
        self.rows_weights.argtypes = (
            ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p,
            ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32,
        )  # fmt: skip
        for function in (
            self.decoder_forward, self.linear_forward, self.head_forward, self.model_forward,
            self.embedding_forward, self.rows_best, self.rows_largest, self.rows_weights,
        ):  # fmt: skip
            function.restype = None


@cache
def load_kernels(instruction_set: str | None = None) -> Kernels:
    """The library for this CPU, built first if need be; raises KernelsUnavailable."""
    name = instruction_set or build.usable_instruction_sets(Machine.detect().cpu_flags)[0]
    import torch  # noqa: F401  # its OpenMP must be the one that the library finds

    return Kernels(build.find(name) or build.build(name), name)
