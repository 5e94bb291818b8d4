"""Owns the training run: from scratch, within a wall-clock budget, resumable.

    python -m models.pocket_vision.train --minutes 240 --workers 2

The learning rate follows the elapsed share of the budget, as pocket's does.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from models.pocket import parallel
from models.pocket.optimizer import Optimizers
from models.pocket.train import Progress, pick_device, update, write
from models.pocket_vision import network
from models.pocket_vision.batches import batches

CHECKPOINT = Path(__file__).parent / "checkpoints" / "pocket-vision.pt"
MATRIX_RATE = 0.012
OTHER_RATE = 0.002
SAVE_SECONDS = 240


class Run:
    """One worker of a training run; the first worker also reports and saves."""

    def __init__(self, rank: int, arguments: argparse.Namespace) -> None:
        torch.manual_seed(arguments.seed)
        self._rank = rank
        self._seed = arguments.seed
        self._device = pick_device(arguments.device)
        self._model = network.new_model().to(self._device)
        layers = (self._model.model.language_model.layers, self._model.model.visual.blocks)
        inner = [p for part in layers for p in part.parameters() if p.ndim == 2]
        self._optimizers = Optimizers(self._model, inner, MATRIX_RATE, OTHER_RATE)
        self._progress = Progress()
        self._chunk = 0
        self._budget = arguments.minutes * 60.0
        if arguments.resume:
            self._resume()
        self._saved = self._progress.seconds

    def _resume(self) -> None:
        state = torch.load(CHECKPOINT, map_location=self._device)
        self._model.load_state_dict(state["model"])
        self._optimizers.load_state_dict(state["optimizers"])
        self._progress = Progress(**state["progress"])
        self._chunk = state["chunk"] + 1

    def train(self) -> None:
        progress = self._progress
        bar = tqdm(total=round(self._budget), unit="s", disable=self._rank > 0)
        last = time.monotonic()
        for chunk, batch in batches(self._seed, self._rank, self._chunk):
            self._chunk = chunk
            loss = self._gradients(batch)
            now = time.monotonic()
            progress.seconds += now - last
            last = now
            update(self._model, self._optimizers, progress, self._budget, loss)
            bar.n = min(round(progress.seconds), round(self._budget))
            bar.set_postfix(step=progress.step, loss=f"{progress.loss:.4f}")
            if progress.seconds >= self._budget:
                break
            if progress.seconds - self._saved > SAVE_SECONDS:
                self._save()
        self._save()

    def _gradients(self, batch: network.Batch) -> float:
        parts = (getattr(batch, name).to(self._device) for name in batch.__slots__)
        loss = network.answer_loss(self._model, network.Batch(*parts))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _save(self) -> None:
        self._saved = self._progress.seconds
        if self._rank > 0:
            return
        state = {
            "model": self._model.state_dict(),
            "optimizers": self._optimizers.state_dict(),
            "progress": asdict(self._progress),
            "chunk": self._chunk,
        }
        write(state, CHECKPOINT)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train pocket-vision.")
    parser.add_argument("--minutes", type=float, default=240.0, help="wall-clock budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--workers", type=int, default=1, help="processes, one CPU thread each")
    return parser.parse_args()


def work(rank: int, arguments: argparse.Namespace) -> None:
    Run(rank, arguments).train()


def main() -> None:
    arguments = parse()
    parallel.start(arguments.workers, work, arguments)


if __name__ == "__main__":
    main()
