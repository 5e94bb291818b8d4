"""Compares paged attention in bfloat16 on the device with float32 on the CPU.

The kernel that PyTorch selects on a GPU, and its correctness, depend on the type, the head
dimension, the mask and the strides. Keys and values are expanded over the heads that share them.
Lengths have every remainder modulo 32, because kernels work in tiles of that size.
"""

from collections.abc import Sequence

import torch

from llm_service.engine.kernels.attention import AttentionOptions, PagedBatch, Span
from llm_service.engine.kernels.kv_cache import KVCache, LayerShape
from scripts.gpu_check.part import Failed, Figures

LENGTHS = (*range(34, 66), 513, 1025)
_HEAD_DIMS = (64, 128)
_KV_HEADS, _GROUP = 2, 7
_CHUNK = 9  # last tokens of a prompt whose other tokens are in the cache
_BLOCK = 16
_TOLERANCE = 0.02  # relative to the norm of an output; bfloat16 has about 0.004
_CPU = torch.device("cpu")


@torch.inference_mode()
def compare(device: torch.device, lengths: Sequence[int]) -> Figures:
    """Compare all cases. Raises Failed for the first one that is wrong."""
    worst, num_cases = 0.0, 0
    for head_dim in _HEAD_DIMS:
        plain = AttentionOptions(scaling=head_dim**-0.5)
        for options in (
            plain,
            AttentionOptions(plain.scaling, window=40),
            AttentionOptions(plain.scaling, softcap=5.0),
        ):
            for length in lengths:
                found = _attend(length, head_dim, options, torch.bfloat16, device)
                expected = _attend(length, head_dim, options, torch.float32, _CPU)
                norm = torch.linalg.vector_norm(expected, dim=(1, 2))
                error = torch.linalg.vector_norm(found - expected, dim=(1, 2)) / norm
                worst, num_cases = max(worst, error.max().item()), num_cases + 1
                if not (error <= _TOLERANCE).all():  # also false for NaN
                    raise Failed(
                        f"{length} positions, heads of {head_dim}, {options}: outputs differ by"
                        f" {[round(e, 3) for e in error.tolist()]}; first the decode, then the"
                        " prompt's tokens"
                    )
    return {"cases": num_cases, "largest_error": worst}


def _attend(
    length: int, head_dim: int, options: AttentionOptions, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return the outputs of one step with a decode and the end of a prompt, as CPU float32."""
    generator = torch.Generator().manual_seed(length)

    def values(num_tokens: int, num_heads: int) -> torch.Tensor:
        made = torch.randn(num_tokens, num_heads, head_dim, generator=generator)
        return made.bfloat16().to(device, dtype)  # the same values for each type

    num_blocks = -(-length // _BLOCK)
    tables = [list(range(first, 2 * num_blocks, 2)) for first in (0, 1)]
    cache = KVCache(
        [LayerShape(_KV_HEADS, head_dim)], 2 * num_blocks, _BLOCK, dtype=dtype, device=device
    )
    past = torch.arange(2 * num_blocks * _BLOCK, device=device)
    cache.write(0, past, values(len(past), _KV_HEADS), values(len(past), _KV_HEADS))
    spans = [Span(length - 1, length, tables[0]), Span(length - _CHUNK, length, tables[1])]
    places = [
        span.block_table[p // _BLOCK] * _BLOCK + p % _BLOCK
        for span in spans
        for p in range(span.start, span.end)
    ]
    batch = PagedBatch(cache, spans, torch.tensor(places, device=device), dtype)
    query = values(len(places), _KV_HEADS * _GROUP)
    key, value = values(len(places), _KV_HEADS), values(len(places), _KV_HEADS)
    return batch.attend(0, query, key, value, options).to(_CPU, torch.float32)
