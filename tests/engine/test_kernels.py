"""The compiled kernels, in every instruction set that this CPU has, against float64."""

import ctypes
import math
import os
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from torch import Tensor

from llm_service.engine.kernels import build, library
from llm_service.engine.kernels.attention import AttentionOptions, PagedBatch, Span
from llm_service.engine.kernels.build import KernelsUnavailable
from llm_service.engine.kernels.fused import FusedDecoder, PackedLayer
from llm_service.engine.kernels.kv_cache import KVCache, LayerShape
from llm_service.engine.kernels.library import Kernels, load_kernels
from llm_service.engine.kernels.packing import (
    GROUP,
    PackedLinear,
    Scheme,
    interleave,
    pack,
    round_channels,
    round_groups,
)
from llm_service.engine.kernels.reductions import FusedReductions
from llm_service.engine.kernels.torch_linear import TorchLinear
from llm_service.machine import Machine

HERE = build.usable_instruction_sets(Machine.detect().cpu_flags)
EXACT = (Scheme.FLOAT32, Scheme.BFLOAT16)  # of which inputs are not rounded
each_instruction_set = pytest.mark.parametrize("instruction_set", HERE)
is_sanitized = build.flavour() == "sanitized"  # then everything is many times slower
random_shapes = settings(
    max_examples=5 if is_sanitized else 25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def multiply(kernels: Kernels, packed: PackedLinear, x: Tensor, threads: int) -> Tensor:
    out = torch.full((len(x), packed.num_outputs), math.nan)
    struct = packed.struct
    kernels.linear_forward(
        ctypes.byref(struct), x.data_ptr(), len(x), x.shape[1], out.data_ptr(), threads
    )
    return out


def rounded_rows(x: Tensor) -> Tensor:
    """Each row in 8 bits, as numbers again."""
    scales = x.double().abs().amax(dim=1, keepdim=True) / 127
    return (x.double() / scales.where(scales > 0, 1.0)).round() * scales


def rounded_weight(weight: Tensor, scheme: Scheme) -> Tensor:
    if scheme is Scheme.FLOAT32:
        return weight.double()
    if scheme is Scheme.BFLOAT16:
        return weight.bfloat16().double()
    values, scales = (round_groups if scheme is Scheme.INT4 else round_channels)(weight)
    return (values.double() * scales.double().unsqueeze(-1)).flatten(1)[:, : weight.shape[1]]


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative to the size of what is expected."""
    size = torch.linalg.vector_norm(expected).item()
    return torch.dist(found.double(), expected).item() / (size or 1.0)


@each_instruction_set
@pytest.mark.parametrize("scheme", Scheme)
@random_shapes
@given(
    rows=st.integers(1, 70),
    num_inputs=st.integers(1, 200),
    num_outputs=st.integers(1, 100),
    has_bias=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
@example(rows=9, num_inputs=4864, num_outputs=48, has_bias=True, threads=2, seed=0)
def test_a_product_is_that_of_the_rounded_numbers(
    instruction_set, scheme, rows, num_inputs, num_outputs, has_bias, threads, seed
):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_outputs, num_inputs, generator=generator)
    bias = torch.randn(num_outputs, generator=generator) if has_bias else None
    x = torch.randn(rows, num_inputs, generator=generator) * 3
    found = multiply(load_kernels(instruction_set), pack(weight, bias, scheme), x, threads)
    inputs = x.double() if scheme in EXACT else rounded_rows(x)
    rounded = rounded_weight(weight, scheme)
    expected = inputs @ rounded.T + (0 if bias is None else bias)
    size = torch.linalg.vector_norm(inputs.abs() @ rounded.abs().T).item()  # before they cancel
    # A number between two steps may go either way: float32 and float64 see it differently.
    assert torch.dist(found.double(), expected).item() <= (2e-6 if scheme in EXACT else 2e-3) * size


@each_instruction_set
@pytest.mark.parametrize("scheme", Scheme)
def test_zeros_and_huge_numbers_go_through(instruction_set, scheme):
    weight = torch.zeros(33, 70)
    weight[5] = 1e30
    x = torch.zeros(3, 70)
    x[1] = 1e6
    found = multiply(load_kernels(instruction_set), pack(weight, None, scheme), x, 2)
    assert (found[[0, 2]] == 0).all()
    assert found[1, 5] == pytest.approx(70e36, rel=0.01)
    assert (found[1, :5] == 0).all()


@each_instruction_set
@pytest.mark.parametrize("scheme", [Scheme.INT8, Scheme.INT4, Scheme.PLANES])
def test_a_row_does_not_depend_on_the_rows_beside_it(instruction_set, scheme):
    generator = torch.Generator().manual_seed(1)
    packed = pack(torch.randn(64, 96, generator=generator), None, scheme)
    x = torch.randn(13, 96, generator=generator)
    kernels = load_kernels(instruction_set)
    together = multiply(kernels, packed, x, 2)
    alone = torch.cat([multiply(kernels, packed, row[None].contiguous(), 1) for row in x])
    assert torch.equal(together, alone)


@each_instruction_set
@pytest.mark.parametrize("scheme", [Scheme.FLOAT32, Scheme.BFLOAT16, Scheme.PLANES])
def test_an_embedding_looks_up_rows_of_the_rounded_matrix(instruction_set, scheme):
    weight = torch.randn(50, 36, generator=torch.Generator().manual_seed(2))
    packed, ids = pack(weight, None, scheme), torch.tensor([0, 49, 17, 17, 16, 15])
    out = torch.empty(len(ids), 36)
    struct = packed.struct
    load_kernels(instruction_set).embedding_forward(
        ctypes.byref(struct), ids.data_ptr(), len(ids), 36, out.data_ptr()
    )
    assert torch.allclose(out.double(), rounded_weight(weight, scheme)[ids], atol=1e-7)


@each_instruction_set
@pytest.mark.parametrize("scheme", Scheme)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [[3], [0, 69], list(range(70))])
def test_a_row_with_a_number_that_is_none_gives_none_and_leaves_the_others(
    instruction_set, scheme, bad, at
):
    generator = torch.Generator().manual_seed(5)
    packed = pack(torch.randn(40, 70, generator=generator), None, scheme)
    x = torch.randn(6, 70, generator=generator)
    right = multiply(load_kernels(instruction_set), packed, x, 2)
    x[4, at] = bad
    found = multiply(load_kernels(instruction_set), packed, x, 2)
    assert not found[4].isfinite().any()
    assert torch.equal(found[[0, 1, 2, 3, 5]], right[[0, 1, 2, 3, 5]])


@each_instruction_set
@pytest.mark.parametrize("scheme", Scheme)
def test_rows_too_small_for_a_scale_count_as_zero_or_as_they_are(instruction_set, scheme):
    weight = torch.eye(32)
    x = torch.full((2, 32), 1e-38)
    x[1] = 1.0
    found = multiply(load_kernels(instruction_set), pack(weight, None, scheme), x, 1)
    assert (found[0].abs() <= 1.1e-38).all()
    assert torch.equal(found[1], torch.ones(32))


@each_instruction_set
@random_shapes
@given(
    width=st.integers(1, 5000),
    count=st.integers(1, 1500),
    kind=st.sampled_from(["random", "few values", "equal", "all -inf", "falling", "rising"]),
    num_bad=st.integers(0, 3),
    num_infinite=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
def test_the_largest_of_rows_with_infinities_are_torchs_and_a_nan_is_told(
    instruction_set, width, count, kind, num_bad, num_infinite, seed
):
    generator = torch.Generator().manual_seed(seed)
    row = {
        "random": torch.randn(width, generator=generator),
        "few values": torch.randint(3, (width,), generator=generator).float(),
        "equal": torch.ones(width),
        "all -inf": torch.full((width,), -math.inf),
        "falling": torch.arange(width, 0, -1).float(),
        "rising": torch.arange(width).float(),
    }[kind]
    places = torch.randint(width, (2 * num_infinite + num_bad,), generator=generator)
    row[places[:num_infinite]] = math.inf
    row[places[num_infinite : 2 * num_infinite]] = -math.inf
    row[places[2 * num_infinite :]] = math.nan
    count = min(count, width)
    reductions = FusedReductions(load_kernels(instruction_set))
    logits = torch.stack([torch.zeros(width), row, torch.zeros(width)])
    values, ids = reductions.largest(logits, [0, 1, 2], count)
    best, best_id = (found[1] for found in reductions.best(logits, [0, 1, 2]))
    assert (values[[0, 2]] == 0).all()
    assert torch.equal(ids[[0, 2]], torch.arange(count).expand(2, -1))
    if num_bad:
        assert best.isnan()
        assert values[1].isnan().all()
        assert ((ids[1] >= 0) & (ids[1] < width)).all()
    else:
        expected, order = row.sort(descending=True, stable=True)
        assert torch.equal(values[1], expected[:count])
        assert torch.equal(ids[1], order[:count])
        assert best == row.max()
        assert row[best_id] == best


@pytest.mark.parametrize("scheme", [Scheme.INT8, Scheme.INT4])
@pytest.mark.parametrize("num_inputs", [GROUP, 70])
def test_torch_alone_computes_what_the_kernels_do(scheme, num_inputs):
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(40, num_inputs, generator=generator), torch.randn(40)
    x = torch.randn(5, num_inputs, generator=generator)
    found = TorchLinear(weight, bias, scheme)(x)
    expected = multiply(load_kernels(), pack(weight, bias, scheme), x, 1)
    assert distance(found, expected.double()) < 1e-5


# A decoder layer, written down in float64

HEADS, KV_HEADS, DIM, HIDDEN, INNER, EPS = 6, 2, 32, 48, 80, 1e-6


@dataclass
class Weights:
    qkv: Tensor
    qkv_bias: Tensor
    output: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor
    norms: list[Tensor]  # attention, MLP, query, key

    @classmethod
    def random(cls, generator: torch.Generator) -> "Weights":
        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator) * 0.3

        return cls(
            draw((HEADS + 2 * KV_HEADS) * DIM, HIDDEN),
            draw((HEADS + 2 * KV_HEADS) * DIM),
            draw(HIDDEN, HEADS * DIM),
            draw(INNER, HIDDEN),
            draw(INNER, HIDDEN),
            draw(HIDDEN, INNER),
            [1 + draw(HIDDEN), 1 + draw(HIDDEN), 1 + draw(DIM), 1 + draw(DIM)],
        )

    def packed(self, options: AttentionOptions) -> PackedLayer:
        scheme = Scheme.FLOAT32
        return PackedLayer(
            attention_norm=self.norms[0],
            mlp_norm=self.norms[1],
            qkv=pack(self.qkv, self.qkv_bias, scheme),
            output=pack(self.output, None, scheme),
            gate_up=pack(interleave(self.gate, self.up), None, scheme),
            down=pack(self.down, None, scheme),
            query_norm=self.norms[2],
            key_norm=self.norms[3],
            options=options,
        )


def normalized(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + EPS).rsqrt() * weight.double()


def rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """[tokens, heads, dim]"""
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return x * cosines[:, None].double() + turned * sines[:, None].double()


def reference_layer(
    weights: Weights,
    options: AttentionOptions,
    hidden: Tensor,
    tables: tuple[Tensor, Tensor],
    spans: list[Span],
    past: list[tuple[Tensor, Tensor]],
) -> Tensor:
    """`past`: of each span the keys and values [start, KV_HEADS, DIM] before it."""
    x = hidden.double()
    qkv = normalized(x, weights.norms[0]) @ weights.qkv.double().T + weights.qkv_bias.double()
    heads = qkv.view(len(x), -1, DIM)
    query = rotated(normalized(heads[:, :HEADS], weights.norms[2]), *tables)
    key = rotated(normalized(heads[:, HEADS : HEADS + KV_HEADS], weights.norms[3]), *tables)
    value = heads[:, HEADS + KV_HEADS :]
    attended, row = [], 0
    for span, (old_keys, old_values) in zip(spans, past, strict=True):
        rows = slice(row, row + span.num_tokens)
        keys = torch.cat([old_keys.double(), key[rows]]).repeat_interleave(HEADS // KV_HEADS, 1)
        values = torch.cat([old_values.double(), value[rows]]).repeat_interleave(
            HEADS // KV_HEADS, 1
        )
        scores = torch.einsum("qhd,khd->hqk", query[rows], keys) * options.scaling
        if options.softcap:
            scores = torch.tanh(scores / options.softcap) * options.softcap
        at = torch.arange(span.start, span.end)[:, None]
        positions = torch.arange(span.end)
        is_seen = positions <= at
        if options.window:
            is_seen &= positions > at - options.window
        weight = scores.masked_fill(~is_seen, -math.inf).softmax(-1)
        attended.append(torch.einsum("hqk,khd->qhd", weight, values).flatten(1))
        row += span.num_tokens
    x = x + torch.cat(attended) @ weights.output.double().T
    normed = normalized(x, weights.norms[1])
    gate, up = normed @ weights.gate.double().T, normed @ weights.up.double().T
    return x + (torch.nn.functional.silu(gate) * up) @ weights.down.double().T


CACHE_TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.int8: 2e-2}


@each_instruction_set
@pytest.mark.parametrize("cache_dtype", CACHE_TOLERANCES)
@random_shapes
@given(
    sizes=st.lists(st.tuples(st.integers(0, 150), st.integers(1, 90)), min_size=1, max_size=4),
    num_decodes=st.integers(0, 3),
    window=st.none() | st.integers(1, 100),
    softcap=st.none() | st.floats(1.0, 30.0),
    block_size=st.sampled_from([1, 3, 16]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
@example([(0, 300)], 0, None, None, 16, 2, 0)
@example([(700, 1)], 1, 64, None, 16, 2, 0)
def test_a_decoder_layer_over_the_paged_cache_is_that_of_the_books(
    instruction_set, cache_dtype, sizes, num_decodes, window, softcap, block_size, threads, seed
):
    generator = torch.Generator().manual_seed(seed)
    weights = Weights.random(generator)
    options = AttentionOptions(DIM**-0.5, window, softcap)
    sizes = [(past, 1) for past, _ in sizes[:num_decodes]] + sizes[num_decodes:]
    num_blocks = sum(-(-(past + new) // block_size) for past, new in sizes)
    free = torch.randperm(num_blocks, generator=generator).tolist()
    spans = []
    for past, new in sizes:
        table = [free.pop() for _ in range(-(-(past + new) // block_size))]
        spans.append(Span(past, past + new, table))
    cache = KVCache(
        [LayerShape(KV_HEADS, DIM)],
        num_blocks,
        block_size,
        dtype=cache_dtype,
        device=torch.device("cpu"),
    )
    slots = [s.block_table[p // block_size] * block_size + p % block_size
             for s in spans for p in range(s.start, s.end)]  # fmt: skip
    past = [fill(cache, span, generator) for span in spans]
    hidden = torch.randn(len(slots), HIDDEN, generator=generator)
    angles = torch.rand(len(slots), DIM // 2, generator=generator).repeat(1, 2) * 6
    tables = angles.cos(), angles.sin()
    decoder = FusedDecoder(
        load_kernels(instruction_set),
        [weights.packed(options)],
        library.Heads(HEADS, KV_HEADS, DIM, 0, EPS),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = decoder(
            hidden[None],
            position_embeddings=(tables[0][None], tables[1][None]),
            paged=PagedBatch(cache, spans, torch.tensor(slots), torch.float32),
        )
    finally:
        torch.set_num_threads(before)
    expected = reference_layer(weights, options, hidden, tables, spans, past)
    assert distance(found[0], expected) < CACHE_TOLERANCES[cache_dtype]


@each_instruction_set
@pytest.mark.parametrize("cache_dtype", CACHE_TOLERANCES)
def test_a_sequence_that_overflows_does_not_touch_the_others(instruction_set, cache_dtype):
    generator = torch.Generator().manual_seed(0)
    cache = KVCache(
        [LayerShape(KV_HEADS, DIM)], 4, 4, dtype=cache_dtype, device=torch.device("cpu")
    )
    layer = Weights.random(generator).packed(AttentionOptions(DIM**-0.5, None, None))
    heads = library.Heads(HEADS, KV_HEADS, DIM, 0, EPS)
    decoder = FusedDecoder(load_kernels(instruction_set), [layer], heads)
    spans, slots = [Span(0, 2, [3]), Span(0, 3, [1])], torch.tensor([12, 13, 4, 5, 6])
    tables = torch.ones(1, 5, DIM), torch.zeros(1, 5, DIM)
    paged = PagedBatch(cache, spans, slots, torch.float32)
    hidden = torch.randn(1, 5, HIDDEN, generator=generator)
    right = decoder(hidden, position_embeddings=tables, paged=paged)
    hidden[0, 1, 5] = math.nan
    found = decoder(hidden, position_embeddings=tables, paged=paged)
    assert found[0, 1].isnan().all()
    assert torch.equal(found[0, 2:], right[0, 2:])
    if cache_dtype is torch.int8:  # it has no NaN, its scales have
        assert cache.key_scales[0].flatten(0, 1)[13].isnan().all()
        assert not cache.key_scales[0].flatten(0, 1)[12].isnan().any()


def fill(cache: KVCache, span: Span, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random keys and values before the span, stored; returns what the cache made of them."""
    size = cache.block_size
    slots = torch.tensor(
        [span.block_table[p // size] * size + p % size for p in range(span.start)],
        dtype=torch.long,
    )
    kept = []
    for parts, all_scales in ((cache.keys, cache.key_scales), (cache.values, cache.value_scales)):
        drawn = torch.randn(span.start, KV_HEADS, DIM, generator=generator)
        if all_scales:
            scales = drawn.abs().amax(-1) / 127
            drawn = (drawn / scales[..., None]).round()
            all_scales[0].flatten(0, 1)[slots] = scales
        parts[0].flatten(0, 1)[slots] = drawn.to(parts[0].dtype)
        stored = parts[0].flatten(0, 1)[slots].float()
        kept.append(stored * scales[..., None] if all_scales else stored)
    return kept[0], kept[1]


# How the library is had


def test_the_best_instruction_set_is_chosen_by_the_flags():
    avx512 = {"avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx2", "fma"}
    assert build.usable_instruction_sets(frozenset(avx512))[0] == "avx512"
    assert build.usable_instruction_sets(frozenset({"avx2", "fma", "sse"}))[0] == "avx2"
    assert build.usable_instruction_sets(frozenset()) == ["portable"]


def test_without_a_compiler_the_kernels_say_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelsUnavailable, match="no C\\+\\+ compiler"):
        build.build("portable", tmp_path)


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'no such thing' >&2\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelsUnavailable, match="no such thing"):
        build.build("portable", tmp_path / "lib")
    assert list((tmp_path / "lib").iterdir()) == []


def resident_bytes(name: str) -> int:
    """VmHWM (the most so far) or VmRSS of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak stays")
@pytest.mark.skipif(is_sanitized, reason="sanitizers take memory of their own")
@pytest.mark.parametrize("scheme", [Scheme.INT8, Scheme.INT4, Scheme.PLANES])
def test_packing_takes_little_more_memory_than_what_it_keeps(scheme):
    # So large that what other threads of this process take meanwhile is little beside it.
    weight = torch.randn(2**17, 1024, dtype=torch.bfloat16)
    pack(weight[:4096], None, scheme)  # what is taken once
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = resident_bytes("VmRSS")
    packed = pack(weight, None, scheme)
    assert resident_bytes("VmHWM") - before < 1.4 * packed.num_bytes
