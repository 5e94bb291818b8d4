"""The base of all parts: their device, their deadline, and the rows that they write."""

import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

Figures = dict[str, Any]


class Failed(Exception):
    """A check failed; its text says what was found and what was expected.

    `figures` are the measurements made nevertheless.
    """

    def __init__(self, message: str, figures: Figures | None = None) -> None:
        super().__init__(message)
        self.figures = figures or {}


def use_one_thread() -> None:
    """Use one thread, as operations of tiny models are too short for several."""
    torch.set_num_threads(1)


class Skipped(Exception):
    """A check cannot run here; its text says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """Runs checks one after the other and appends a JSON row to `rows` after each."""

    name: str
    device: torch.device
    has_real_shapes: bool
    architectures: tuple[str, ...]
    deadline: float  # in time.monotonic() seconds
    rows: Path

    def check(self, name: str, body: Callable[[], Figures], *, needs_seconds: float = 5.0) -> None:
        """Run `body`, which returns figures or raises Failed or Skipped; never raises.

        The check is skipped if less than `needs_seconds` are left.
        """
        started = time.monotonic()
        status, detail, figures = "passed", "", Figures()
        left = self.deadline - started
        try:
            if left < needs_seconds:
                raise Skipped(f"{left:.0f} s are left, and it may take {needs_seconds:.0f} s")
            figures = body()
        except Skipped as error:
            status, detail = "skipped", str(error)
        except Failed as error:
            status, detail, figures = "failed", str(error), error.figures
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            lines = str(error).strip().splitlines() or [""]
            status, detail = "failed", f"{type(error).__name__}: {lines[0]}"
        row = {
            "part": self.name,
            "name": name,
            "status": status,
            "detail": detail,
            "seconds": round(time.monotonic() - started, 3),
            "figures": figures,
        }
        with self.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"  {row['seconds']:6.1f} s  {status:7}  {name}  {detail}", flush=True)
