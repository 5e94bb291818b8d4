"""`python -m scripts.gpu_check`: see the package. The exit status is 1 if a check failed."""

import argparse
import importlib
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# The largest share of the total time for each part, if that much time is left.
PARTS = {"exactness": 0.25, "cancellation": 0.1, "answers": 0.2, "speed": 1.0}
_LEAST_SECONDS = 15.0  # to start a part: importing the libraries takes some
_RESERVE_SECONDS = 5.0  # for the end of the run and the record
_PACKAGES = ("torch", "transformers", "bitsandbytes", "accelerate", "numpy", "tokenizers")
Row = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    if options.part:
        return _run_part(options)
    started = time.monotonic()
    deadline = started + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        packages = _unpack(options.wheels, Path(folder) / "packages") if options.wheels else None
        machine = _facts(options.device, packages)
        print(json.dumps(machine, indent=2), flush=True)
        rows: list[Row] = []
        for name in options.only or PARTS:
            left = deadline - time.monotonic() - _RESERVE_SECONDS
            limit = min(PARTS[name] * options.minutes * 60, left)
            print(f"{name}: {time.monotonic() - started:.0f} s so far", flush=True)
            rows += _part(name, limit, options, packages, Path(folder) / f"{name}.jsonl")
    seconds = time.monotonic() - started
    print(_table(rows))
    print(f"{seconds:.0f} s")
    if options.out:
        record = _record(options, machine, rows, seconds)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(any(row["status"] == "failed" for row in rows))


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.gpu_check", description=__doc__)
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--wheels", type=Path, help="folder of wheels for packages not installed")
    parser.add_argument("--minutes", type=float, default=8.0, help="total time limit (default: 8)")
    parser.add_argument("--out", type=Path, help="write the record to this file, as JSON")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="run only these parts")
    parser.add_argument("--shapes", choices=("real", "tiny"), default="real")
    parser.add_argument(
        "--architectures", nargs="+", default=[], help="for exactness; default: all"
    )
    for inner in ("--part", "--rows", "--packages", "--seconds"):  # used only by this program
        parser.add_argument(inner, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.wheels and not list(options.wheels.glob("*.whl")):
        parser.error(f"there are no wheels in {options.wheels}")
    return options


def _unpack(wheels: Path, folder: Path) -> Path:
    """Unpack the wheels into a folder to import from, because pip may be missing."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    return folder


def _part(
    name: str, limit: float, options: argparse.Namespace, packages: Path | None, file: Path
) -> list[Row]:
    """Run one part in its own process, end it after `limit` seconds, and return its rows."""
    if limit < _LEAST_SECONDS:
        return [_row(name, "skipped", "no time is left for it")]
    command = [sys.executable, "-m", "scripts.gpu_check", "--part", name, "--rows", str(file)]
    command += ["--device", options.device, "--shapes", options.shapes, "--seconds", f"{limit}"]
    command += ["--packages", str(packages)] if packages else []
    command += ["--architectures", *options.architectures] if options.architectures else []
    end = ""
    try:
        code = subprocess.run(command, cwd=ROOT, timeout=limit, check=False).returncode
        if code < 0:
            end = f"it was ended by {signal.Signals(-code).name}"
        elif code:
            end = f"it ended with exit status {code}"
    except subprocess.TimeoutExpired:
        end = f"it was not done after {limit:.0f} s"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines]
    return [*rows, _row(name, "failed", end)] if end else rows


def _row(part: str, status: str, detail: str) -> Row:
    print(f"  {status}: {detail}", flush=True)
    return {"part": part, "name": "the part as a whole", "status": status, "detail": detail,
            "seconds": 0.0, "figures": {}}  # fmt: skip


def _run_part(options: argparse.Namespace) -> int:
    """Run a part; called in its own process."""
    started = time.monotonic()
    if options.packages:
        sys.path.append(options.packages)  # last, so that installed packages are preferred
    import torch

    from scripts.gpu_check.part import Part
    from tests.engine.models import CONFIGS

    part = Part(
        name=options.part,
        device=torch.device(_device(options.device)),
        has_real_shapes=options.shapes == "real",
        architectures=tuple(options.architectures or CONFIGS),
        deadline=started + float(options.seconds),
        rows=Path(options.rows),
    )
    importlib.import_module(f"scripts.gpu_check.{part.name}").run(part)
    return 0


def _device(asked: str) -> str:
    import torch

    has_cuda = torch.cuda.is_available()
    if asked == "cuda" and not has_cuda:
        sys.exit("PyTorch finds no CUDA device here: use --device cpu to try the script itself.")
    return "cuda" if has_cuda and asked != "cpu" else "cpu"


def _facts(asked: str, packages: Path | None) -> Row:
    """The machine, the GPU, and the versions of the libraries that compute."""
    if packages:
        sys.path.append(str(packages))
    import torch

    from llm_service.bench.facts import describe_machine

    device = _device(asked)
    facts = describe_machine() | {"device": device, "packages": _versions()}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts["gpu"] = {
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory_bytes": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            "driver": _driver(),
        }
    return facts


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _record(options: argparse.Namespace, machine: Row, rows: list[Row], seconds: float) -> Row:
    return {
        "schema": 1,
        "kind": "gpu_check",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "platform": platform.platform(),
        "options": {"shapes": options.shapes, "only": options.only, "minutes": options.minutes},
        "seconds": round(seconds, 1),
        "rows": rows,
    }


def _table(rows: list[Row]) -> str:
    lines = [f"{'part':13} {'check':36} {'result':8} {'seconds':>8}"]
    for row in rows:
        line = f"{row['part']:13} {row['name']:36} {row['status']:8} {row['seconds']:8.1f}"
        lines.append(f"{line}  {row['detail']}".rstrip())
        lines += _figures(row["figures"])
    return "\n".join(lines)


def _figures(figures: Row) -> list[str]:
    """One line of speeds and one of memory, if the row has them."""
    speeds = [f"{name} {value}" for name, value in figures.items() if name.endswith("tok/s")]
    lines = [f"{'':14}{'; '.join(speeds)}"] if speeds else []
    for name, sizes in (figures.get("memory") or {}).items():
        if sizes:
            parts = ", ".join(f"{part} {size / 2**20:,.0f}" for part, size in sizes.items())
            lines.append(f"{'':14}MiB {name}: {parts}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
