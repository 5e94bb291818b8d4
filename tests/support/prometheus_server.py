"""A real Prometheus for tests: on a free port, with our rules sped up, scraping one service."""

import json
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import httpx2 as httpx

from tests.redis_server import free_port
from tests.support.service import ADMIN_KEY

RULES = Path(__file__).parent.parent.parent / "prometheus" / "rules"
FAST_WINDOW = "5m"
WAIT_SECONDS = 30


def sped_up(text: str) -> str:
    """The same rules or query, looking back over seconds where it looked back over days."""
    text = re.sub(r"(?m)^( +)interval: .*$", r"\1interval: 1s", text)
    text = re.sub(r"(?m)^( +)for: .*$", r"\1for: 1s", text)
    return re.sub(r"\[\d+[smhd]\]", f"[{FAST_WINDOW}]", text)


class PrometheusServer:
    """`with PrometheusServer(tmp_path, "127.0.0.1:8000") as prometheus:`; scrapes each second.

    `scrape_seconds` None: scrapes nothing, and serves the blocks that lie in `folder`/data.
    """

    def __init__(
        self, folder: Path, target: str | None, *, scrape_seconds: int = 1, rules: str | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        config: dict[str, Any] = {
            "global": {"scrape_interval": f"{scrape_seconds}s", "evaluation_interval": "1s"}
        }
        config["scrape_configs"] = [
            {
                "job_name": "llm_service",
                "scrape_timeout": f"{scrape_seconds}s",
                "authorization": {"credentials": ADMIN_KEY},
                "static_configs": [{"targets": [target or "127.0.0.1:1"]}],
            }
        ]
        for file in RULES.glob("*.yml"):
            (folder / file.name).write_text(sped_up(file.read_text()))
        if rules is not None:
            (folder / "more.yml").write_text(rules)
        config["rule_files"] = ["*.yml"] if target else []
        (folder / "prometheus.json").write_text(json.dumps(config))  # JSON is YAML

    def __enter__(self) -> Self:
        command = ["prometheus", f"--config.file={self._folder / 'prometheus.json'}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}"]
        command += ["--storage.tsdb.retention.time=100y"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        lines = []
        for line in self._process.stderr:
            lines.append(line)
            if "Server is ready to receive web requests" in line:
                break
        else:
            raise RuntimeError("prometheus did not start: " + "".join(lines))
        self.client = httpx.Client(base_url=self.url, timeout=WAIT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            assert self._process.stderr is not None
            self._process.stderr.close()

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """The series of `expr` at a time, by default now.

        AssertionError with Prometheus' words where it fails.
        """
        when = {} if at is None else {"time": at}
        answer = self.client.post("/api/v1/query", data={"query": expr, **when}).json()
        assert answer["status"] == "success", f"{expr}: {answer.get('error')}"
        return list(answer["data"]["result"])

    def wait_for(self, exprs: Iterable[str]) -> None:
        """Until each has a series."""
        until = time.monotonic() + WAIT_SECONDS
        for expr in exprs:
            while not self.query(expr):
                assert time.monotonic() < until, f"{expr} has no series"
                # Asked again at its own pace: an event that says so does not exist.
                time.sleep(0.2)
