"""Owns the training run: from scratch or from given weights, within a wall-clock budget, resumable.

    python -m models.pocket.train --minutes 100 --workers 2

The learning rate follows the elapsed share of the budget, so a slow or busy machine only means
fewer steps and never a schedule that is cut off.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm
from transformers import Qwen2ForCausalLM

from models.pocket import network, parallel
from models.pocket.optimizer import Optimizers
from models.pocket.packing import Batch, Position, batches
from models.pocket.tokenizer import FOLDER

CHECKPOINT = FOLDER / "checkpoints" / "pocket.pt"
BATCH_TOKENS = 4096
MATRIX_RATE = 0.012
OTHER_RATE = 0.002
WARMUP_STEPS = 60
STABLE_SHARE = 0.4
SAVE_SECONDS = 240


@dataclass
class Progress:
    """What a resumed run must know besides weights and optimiser state."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss: float = 0.0


def rate_factor(step: int, share: float) -> float:
    """Warm up by steps, stay, then fall linearly to zero at the end of the budget."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    fall = min(1.0, (1.0 - share) / (1.0 - STABLE_SHARE))
    return max(0.0, min(warm, fall))


def update(
    model: nn.Module, optimizers: Optimizers, progress: Progress, budget: float, loss: float
) -> None:
    """All workers take the same step: gradients and the clock are averaged first."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    progress.seconds = parallel.average(gradients, progress.seconds)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizers.step(rate_factor(progress.step, progress.seconds / budget))
    progress.step += 1
    progress.loss = 0.98 * progress.loss + 0.02 * loss if progress.step > 1 else loss


def write(state: dict[str, Any], path: Path) -> None:
    """Write beside, then rename: a reader never sees half a checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    torch.save(state, draft)
    draft.replace(path)


class Run:
    """One worker of a training run; the first worker also reports and saves."""

    def __init__(self, rank: int, arguments: argparse.Namespace) -> None:
        torch.manual_seed(arguments.seed)
        self._rank = rank
        self._arguments = arguments
        self._device = pick_device(arguments.device)
        self._model = network.for_training()
        if arguments.weights:
            self._model.load_state_dict(
                Qwen2ForCausalLM.from_pretrained(
                    arguments.weights, dtype=torch.float32
                ).state_dict()
            )
        self._model.to(self._device)  # type: ignore[arg-type]
        rates = (arguments.rate * rate for rate in (MATRIX_RATE, OTHER_RATE))
        inner = [p for p in self._model.model.layers.parameters() if p.ndim == 2]
        self._optimizers = Optimizers(self._model, inner, *rates)
        self._progress = Progress()
        self._position = Position()
        self._budget = arguments.minutes * 60.0
        self._saved = 0.0

    def resume(self) -> None:
        state = torch.load(CHECKPOINT, map_location=self._device)
        self._model.load_state_dict(state["model"])
        self._optimizers.load_state_dict(state["optimizers"])
        self._progress = Progress(**state["progress"])
        self._position = Position(**state["positions"][self._rank])
        self._saved = self._progress.seconds

    def train(self) -> None:
        progress = self._progress
        size = BATCH_TOKENS // self._arguments.workers
        bar = tqdm(total=round(self._budget), unit="s", disable=self._rank > 0)
        last = time.monotonic()
        for batch in batches(self._arguments.seed, self._position, size, self._rank):
            loss = self._gradients(batch)
            now = time.monotonic()
            progress.seconds += now - last
            last = now
            self._update(loss)
            self._show(bar)
            if progress.seconds >= self._budget:
                break
            if progress.seconds - self._saved > SAVE_SECONDS:
                self.save()
        self.save()

    def _gradients(self, batch: Batch) -> float:
        tokens, learnt = (
            torch.from_numpy(part).to(self._device) for part in (batch.tokens, batch.learnt)
        )
        loss = network.answer_loss(self._model, tokens, learnt, batch.lengths)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _update(self, loss: float) -> None:
        update(self._model, self._optimizers, self._progress, self._budget, loss)
        self._progress.tokens += BATCH_TOKENS

    def _show(self, bar: tqdm[Any]) -> None:
        progress = self._progress
        bar.n = min(round(progress.seconds), round(self._budget))
        bar.set_postfix(
            step=progress.step, tokens=f"{progress.tokens / 1e6:.2f}M", loss=f"{progress.loss:.4f}"
        )

    def save(self) -> None:
        self._saved = self._progress.seconds
        positions = parallel.gather(asdict(self._position))
        if self._rank > 0:
            return
        state = {
            "model": self._model.state_dict(),
            "optimizers": self._optimizers.state_dict(),
            "progress": asdict(self._progress),
            "positions": positions,
        }
        write(state, CHECKPOINT)


def pick_device(wanted: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train pocket.")
    parser.add_argument("--minutes", type=float, default=95.0, help="wall-clock budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--weights", help="a folder to begin from, instead of random weights")
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rates")
    parser.add_argument("--workers", type=int, default=1, help="processes, one CPU thread each")
    return parser.parse_args()


def work(rank: int, arguments: argparse.Namespace) -> None:
    run = Run(rank, arguments)
    if arguments.resume:
        run.resume()
    run.train()


def main() -> None:
    arguments = parse()
    parallel.start(arguments.workers, work, arguments)


if __name__ == "__main__":
    main()
