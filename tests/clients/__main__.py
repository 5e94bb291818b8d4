"""Runs each client library's program against a service, every client in an environment of its own.

    python -m tests.clients [NAME ...]      # all of them, or some

A Python program names what it needs in its script metadata (PEP 723), a Node program in the
comment of its first line. Environments stay in build/clients until their program's needs change.
Programs find the service by LLM_BASE_URL, LLM_API_KEY and LLM_MODEL, and fail by their exit status.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

from tests.support.service import ADMIN_KEY, RunningService

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "clients"
SECONDS = 300
_METADATA = re.compile(r"^# /// script\n(.*?)^# ///$", re.MULTILINE | re.DOTALL)


def main(names: list[str]) -> int:
    programs = {program.stem: program for program in _programs()}
    unknown = [name for name in names if name not in programs]
    if unknown:
        print(f"There is no client {unknown[0]!r}; there are {', '.join(programs)}.")
        return 2
    failed, began = [], time.monotonic()
    with (
        tempfile.TemporaryDirectory() as state,
        RunningService(Path(state), model_id="pocket") as service,
    ):
        for name in names or programs:
            started = time.monotonic()
            problem = _run(programs[name], service.url)
            print(
                f"{'FAILED' if problem else 'passed'}  {name}  {time.monotonic() - started:.1f} s"
            )
            if problem:
                failed.append(name)
                print(problem, file=sys.stderr)
    seconds = time.monotonic() - began
    num_passed = len(names or programs) - len(failed)
    print(f"{num_passed} passed, {len(failed)} failed in {seconds:.1f}s")
    return bool(failed)


def _programs() -> Iterator[Path]:
    yield from sorted((HERE / "python").glob("*.py"))
    yield from sorted((HERE / "node").glob("*.mjs"))


def _run(program: Path, url: str) -> str:
    """Return why it failed, or nothing."""
    make = _python_command if program.suffix == ".py" else _node_command
    try:
        command = make(program)
    except (subprocess.SubprocessError, OSError) as error:
        return f"{program.name}: its environment could not be made: {error}"
    environment = {
        **os.environ,
        "LLM_BASE_URL": url,
        "LLM_API_KEY": ADMIN_KEY,
        "LLM_MODEL": "pocket",
        "PYTHONPATH": "",
    }
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{program.name} did not end within {SECONDS} s."
    return "" if result.returncode == 0 else (result.stdout + result.stderr)[-6000:]


def _python_command(program: Path) -> list[str]:
    found = _METADATA.search(program.read_text())
    assert found is not None, program
    metadata = tomllib.loads(re.sub(r"^# ?", "", found[1], flags=re.MULTILINE))
    folder = BUILD / program.stem
    python = folder / "bin" / "python"
    if _is_stale(folder, metadata["dependencies"]):
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *metadata["dependencies"]]
        subprocess.run(install, check=True, timeout=2 * SECONDS)
        _note(folder, metadata["dependencies"])
    return [str(python), str(program)]


def _node_command(program: Path) -> list[str]:
    first_line = program.read_text().partition("\n")[0]
    dependencies = json.loads(first_line.removeprefix("// dependencies: "))
    folder = BUILD / program.stem
    with_node = str(ROOT / "scripts" / "with-node.sh")
    if _is_stale(folder, dependencies):
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"dependencies": dependencies}))
        install = [with_node, "npm", "--prefix", str(folder), "install", "--silent", "--no-audit"]
        subprocess.run(install, check=True, timeout=2 * SECONDS)
        _note(folder, dependencies)
    copy = folder / program.name  # where Node looks for packages
    shutil.copy(program, copy)
    return [with_node, "node", str(copy)]


def _is_stale(folder: Path, needs: object) -> bool:
    """Whether the environment is missing or made for other needs; then nothing is left of it."""
    note = folder / "needs.json"
    if note.exists() and json.loads(note.read_text()) == needs:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _note(folder: Path, needs: object) -> None:
    (folder / "needs.json").write_text(json.dumps(needs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
