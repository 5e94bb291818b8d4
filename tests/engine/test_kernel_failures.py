"""What the kernels refuse: a call that cannot be computed raises, and the process goes on."""

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from llm_service.engine.kernels import build, library
from llm_service.engine.kernels.attention import AttentionOptions, PagedBatch, Span
from llm_service.engine.kernels.build import KernelsUnavailable
from llm_service.engine.kernels.fused import FusedDecoder, FusedEmbedding, FusedLinear
from llm_service.engine.kernels.head import FusedHead
from llm_service.engine.kernels.kv_cache import KVCache, LayerShape
from llm_service.engine.kernels.library import KernelError, Kernels, Status, load_kernels
from llm_service.engine.kernels.packing import Scheme, pack
from tests.engine.test_kernels import DIM, EPS, HEADS, HIDDEN, KV_HEADS, Weights

FLOATS = torch.randn(3, 96)


def linear(scheme: Scheme = Scheme.FLOAT32, kind: type[FusedLinear] = FusedLinear) -> FusedLinear:
    generator = torch.Generator().manual_seed(0)
    return kind(load_kernels(), pack(torch.randn(40, 96, generator=generator), None, scheme))


def forward_over(layer: FusedLinear, num_rows: int, num_inputs: int = 96) -> None:
    out = torch.empty(3, 40)
    load_kernels().linear_forward(
        ctypes.byref(layer._struct), FLOATS.data_ptr(), num_rows, num_inputs, out.data_ptr(), 2
    )


def decoder_and_step() -> tuple[FusedDecoder, torch.Tensor, dict[str, Any]]:
    layer = Weights.random(torch.Generator().manual_seed(0)).packed(
        AttentionOptions(DIM**-0.5, None, None)
    )
    heads = library.Heads(HEADS, KV_HEADS, DIM, 0, EPS)
    decoder = FusedDecoder(load_kernels(), [layer], heads)
    shapes, device = [LayerShape(KV_HEADS, DIM)], torch.device("cpu")
    cache = KVCache(shapes, 4, 4, dtype=torch.float32, device=device)
    tables = torch.ones(1, 2, DIM), torch.zeros(1, 2, DIM)
    paged = PagedBatch(cache, [Span(0, 2, [1])], torch.tensor([4, 5]), torch.float32)
    step = {"position_embeddings": tables, "paged": paged}
    return decoder, torch.randn(1, 2, HIDDEN), step


# 2**40 rows take more bytes than a process can address, 2**62 rows more than 64 bits can count.
@pytest.mark.parametrize("num_rows", [2**40, 2**62])
def test_a_workspace_that_cannot_be_allocated_fails_the_call_and_not_the_next(num_rows):
    layer = linear()
    before = layer(FLOATS)
    with pytest.raises(KernelError, match="linear_forward: a workspace") as caught:
        forward_over(layer, num_rows)
    assert caught.value.status is Status.OUT_OF_MEMORY
    assert torch.equal(layer(FLOATS), before)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.skipif(build.flavour() == "sanitized", reason="sanitizers reserve terabytes")
def test_a_call_beyond_the_memory_limit_fails_and_the_process_lives():
    program = """
        import resource
        import torch
        from llm_service.engine.kernels.fused import FusedLinear
        from llm_service.engine.kernels.library import KernelError, load_kernels
        from llm_service.engine.kernels.packing import Scheme, pack

        torch.set_num_threads(1)
        layer = FusedLinear(load_kernels(), pack(torch.randn(16, 32), None, Scheme.INT8))
        few, many, out = torch.randn(2, 32), torch.randn(2**18, 32), torch.empty(2**18, 16)
        before = layer(few)
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 16 * 2**20  # the workspace would be 56 MiB
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            layer._multiply(many, out)
        except KernelError as error:
            print(error)
        assert torch.equal(layer(few), before)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        layer._multiply(many, out)
        assert torch.equal(out[:2], layer(many[:2]))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "bytes cannot be allocated" in result.stdout


@pytest.mark.parametrize("scheme", [-1, 5, 99])
@pytest.mark.parametrize("kind", [FusedLinear, FusedHead])
def test_an_unknown_scheme_is_refused(kind, scheme):
    layer = linear(kind=kind)
    layer._struct.scheme = scheme
    with pytest.raises(KernelError, match=f"unknown scheme {scheme}") as caught:
        layer(FLOATS)
    assert caught.value.status is Status.UNKNOWN_SCHEME
    with pytest.raises(KernelError, match=f"unknown scheme {scheme}"):
        layer.workspace_bytes(3)


@pytest.mark.parametrize("scheme", [Scheme.INT8, Scheme.INT4])
def test_rows_of_a_scheme_without_lookup_are_refused(scheme):
    embedding = FusedEmbedding(load_kernels(), linear(scheme).packed[0])
    with pytest.raises(KernelError, match="cannot be looked up") as caught:
        embedding(torch.tensor([1]))
    assert caught.value.status is Status.UNKNOWN_SCHEME


@pytest.mark.parametrize("token_id", [-1, 40, 2**40])
def test_a_token_outside_of_the_embedding_is_refused(token_id):
    embedding = FusedEmbedding(load_kernels(), linear().packed[0])
    with pytest.raises(KernelError, match=f"token id {token_id} is not one of 40"):
        embedding(torch.tensor([0, token_id]))


@pytest.mark.parametrize(
    ("scheme", "changes", "message"),
    [
        (Scheme.FLOAT32, {"weights": None}, "no weights"),
        (Scheme.INT8, {"sums": None}, "int8 needs scales and sums"),
        (Scheme.PLANES, {"lower": None}, "planes need"),
        (Scheme.INT4, {"n": 64}, "40 outputs do not fit 64 channels"),
        (Scheme.INT4, {"k": 64}, "96 inputs do not fit a width of 64"),
    ],
)
def test_a_matrix_that_would_be_read_beyond_its_end_is_refused(scheme, changes, message):
    layer = linear(scheme)
    for name, value in changes.items():
        setattr(layer._struct, name, value)
    with pytest.raises(KernelError, match=message) as caught:
        layer(FLOATS)
    assert caught.value.status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize(("num_rows", "num_inputs"), [(-1, 96), (3, 97), (3, 64), (3, 0)])
def test_rows_of_another_width_or_number_are_refused(num_rows, num_inputs):
    with pytest.raises(KernelError) as caught:
        forward_over(linear(), num_rows, num_inputs)
    assert caught.value.status is Status.INVALID_ARGUMENT


def test_an_unknown_cache_type_fails_the_step_and_not_the_next():
    decoder, hidden, step = decoder_and_step()
    expected = decoder(hidden, **step)
    decoder.struct.heads.cache_type = 7
    with pytest.raises(KernelError, match="unknown KV cache type 7") as caught:
        decoder(hidden, **step)
    assert caught.value.status is Status.UNKNOWN_CACHE_TYPE
    decoder.struct.heads.cache_type = 0
    assert torch.equal(decoder(hidden, **step), expected)


def test_a_step_whose_spans_do_not_add_up_is_refused():
    decoder, hidden, step = decoder_and_step()
    cache = step["paged"].cache
    step["paged"] = PagedBatch(cache, [Span(0, 3, [1])], torch.tensor([4, 5]), torch.float32)
    with pytest.raises(KernelError, match="the spans have 3 tokens, the step has 2"):
        decoder(hidden, **step)


def test_layers_whose_matrices_do_not_fit_are_refused():
    decoder, hidden, step = decoder_and_step()
    decoder._structs[0].qkv, decoder._structs[0].down = decoder._structs[0].down, library.Linear()
    with pytest.raises(KernelError, match="qkv: 48 inputs do not fit a width of 96"):
        decoder(hidden, **step)


@pytest.mark.parametrize("count", [0, 101, 2**61])
def test_more_logits_than_a_row_has_are_refused(count):
    logits, ids = torch.randn(2, 100), torch.tensor([0, 1])
    values, places = torch.empty(2, 100), torch.empty(2, 100, dtype=torch.int64)
    with pytest.raises(KernelError, match=f"a row of 100 numbers has no {count} largest"):
        load_kernels().rows_largest(
            logits.data_ptr(),
            100,
            ids.data_ptr(),
            2,
            count,
            values.data_ptr(),
            places.data_ptr(),
            2,
        )


def test_a_block_without_size_is_refused():
    ones = torch.ones(1)
    with pytest.raises(KernelError, match="a block of 0 numbers"):
        load_kernels().rows_weights(
            ones.data_ptr(), 1, torch.tensor([0]).data_ptr(), 1, ones.data_ptr(), ones.data_ptr(),
            0, ones.data_ptr(), 1,
        )  # fmt: skip


def test_each_threads_message_is_its_own_calls(monkeypatch):
    """Another thread's call fails after this thread's call, and before its message is read."""
    kernels, (here, there) = load_kernels(), (linear() for _ in range(2))
    here._struct.scheme, there._struct.scheme = 70, 80
    read_message, this_thread = kernels._message, threading.get_ident()

    def fail_there() -> None:
        with pytest.raises(KernelError, match="80"):
            there(FLOATS)

    def read_after_the_other_failed() -> bytes:
        if threading.get_ident() == this_thread:
            other.submit(fail_there).result()
        return bytes(read_message())

    monkeypatch.setattr(kernels, "_message", read_after_the_other_failed)
    with ThreadPoolExecutor(1) as other, pytest.raises(KernelError, match="70"):
        here(FLOATS)


# The structures of both sides


class Shifted(ctypes.Structure):
    """library.Heads with a field in another place, one that is narrower, and one too many."""

    _fields_ = (
        ("num_kv_heads", ctypes.c_int64),
        ("num_heads", ctypes.c_int64),
        ("head_dim", ctypes.c_int32),
        ("cache_type", ctypes.c_int32),
        ("eps", ctypes.c_float),
        ("depth", ctypes.c_float),
    )


Shifted.__name__ = "Heads"


def test_structures_that_differ_from_the_librarys_are_named_when_it_is_loaded(monkeypatch):
    others = tuple(s for s in library.MIRRORED if s is not library.Heads)
    monkeypatch.setattr(library, "MIRRORED", (*others, Shifted))
    name = load_kernels().instruction_set
    file = build.find(name)
    assert file is not None
    with pytest.raises(KernelsUnavailable) as caught:
        Kernels(file, name)
    words = str(caught.value)
    for field in ("num_heads", "num_kv_heads", "head_dim", "depth"):
        assert f"Heads.{field} has" in words
    assert "Heads.depth has offset and size (28, 4) in Python and none in C++" in words
    assert "Heads.eps" in words  # it has moved with the fields before it
    assert "Linear" not in words


def test_a_structure_that_only_the_library_has_is_named(monkeypatch):
    monkeypatch.setattr(library, "MIRRORED", library.MIRRORED[:-1])
    file = build.find(load_kernels().instruction_set)
    assert file is not None
    with pytest.raises(KernelsUnavailable, match=r"Step\.starts has .* none in Python"):
        Kernels(file, "any")


def test_a_file_that_is_no_library_says_so(tmp_path):
    file = tmp_path / "kernels.so"
    file.write_bytes(b"half a library")
    with pytest.raises(KernelsUnavailable, match="cannot be loaded"):
        Kernels(file, "portable")


# How the library is built

CODE_WITH_A_WARNING = """
extern "C" int answer(int unused) { return 42; }
"""


@pytest.mark.parametrize(("flavour", "is_built"), [("", True), ("strict", False)])
def test_a_warning_stops_the_build_of_tests_but_not_of_users(
    monkeypatch, tmp_path, flavour, is_built
):
    sources = tmp_path / "csrc"
    sources.mkdir()
    (sources / "kernels.cpp").write_text(CODE_WITH_A_WARNING)
    monkeypatch.setattr(build, "_SOURCES", sources)
    monkeypatch.setenv("KERNELS_FLAVOUR", flavour)
    if is_built:
        assert build.build("portable", tmp_path).is_file()
    else:
        with pytest.raises(KernelsUnavailable, match="unused"):
            build.build("portable", tmp_path)


def test_the_tests_run_a_library_whose_warnings_were_errors_or_that_is_sanitized():
    assert build.flavour() in ("strict", "sanitized")


# Under `make sanitize`: the sanitizers are there and report

sanitized = pytest.mark.skipif(build.flavour() != "sanitized", reason="needs the sanitizers")


@sanitized
def test_a_write_beyond_an_output_is_reported():
    program = """
        import torch
        from llm_service.engine.kernels.fused import FusedLinear
        from llm_service.engine.kernels.library import load_kernels
        from llm_service.engine.kernels.packing import Scheme, pack

        layer = FusedLinear(load_kernels(), pack(torch.randn(16, 32), None, Scheme.INT8))
        layer._multiply(torch.randn(3, 32), torch.empty(2, 16))
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        # looking up the names of functions takes most of a minute
        env=os.environ | {"ASAN_OPTIONS": f"{os.environ['ASAN_OPTIONS']}:symbolize=0"},
    )
    assert result.returncode != 0
    assert "heap-buffer-overflow" in result.stderr
