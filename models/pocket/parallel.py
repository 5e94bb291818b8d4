"""Owns data-parallel training: several processes of one thread, which meet once per step.

On a shared machine this is faster than several threads, which wait for each other thousands of
times per step and lose most of their time whenever one of them is not running.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn


def start(workers: int, work: Callable[[int, Any], None], arguments: Any) -> None:
    """Call `work(rank, arguments)` in every worker; a single one runs in this process."""
    if workers == 1:
        work(0, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"{folder}/meeting"
        spawn(_join, (meeting, workers, work, arguments), nprocs=workers)  # type: ignore[no-untyped-call]


def _join(
    rank: int, meeting: str, workers: int, work: Callable[[int, Any], None], arguments: Any
) -> None:
    os.setsid()  # Linux shares the CPU by session first: each worker counts like any other job
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    work(rank, arguments)
    dist.destroy_process_group()


def average(tensors: list[Tensor], number: float) -> float:
    """Replace tensors by their mean over the workers; return the mean of `number` too."""
    if not dist.is_initialized():
        return number
    flat = torch.cat([part.flatten() for part in tensors] + [torch.tensor([number])])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    pieces = torch.split(flat[:-1], [part.numel() for part in tensors])
    for part, piece in zip(tensors, pieces, strict=True):
        part.copy_(piece.view_as(part))
    return flat[-1].item()


def shared(costly: Callable[[Tensor], Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Apply a function to every tensor, each on one worker only, and hand all results to all."""
    if not dist.is_initialized():
        return [costly(part) for part in inputs]
    rank, workers = dist.get_rank(), dist.get_world_size()
    results = [
        costly(part).flatten() if place % workers == rank else torch.zeros(part.numel())
        for place, part in enumerate(inputs)
    ]
    flat = torch.cat(results)
    dist.all_reduce(flat)
    pieces = torch.split(flat, [part.numel() for part in inputs])
    return [piece.view_as(part) for piece, part in zip(pieces, inputs, strict=True)]


def gather(value: Any) -> list[Any]:
    """The values of all workers, in order of rank."""
    if not dist.is_initialized():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found
