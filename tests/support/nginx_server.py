"""A real nginx for tests: dashboard/nginx's configuration, on a free port, before one service."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Self

from tests.redis_server import free_port

CONFIGURATION = Path(__file__).parent.parent.parent / "dashboard" / "nginx"


class NginxServer:
    """`with NginxServer(tmp_path, "127.0.0.1:8000") as nginx:`; only addresses and paths differ."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        for file in CONFIGURATION.iterdir():
            shutil.copy(file, folder)
        text = (folder / "nginx.conf").read_text(encoding="utf-8")
        text = re.sub(r"listen 8080;\s+listen 8000;", f"listen 127.0.0.1:{port};", text)
        text = text.replace("/tmp/", f"{folder}/").replace("/srv/dashboard", f"{folder}/none")
        text = text.replace("include mime.types;", "types { text/html html; }")
        text = text.replace("error_log stderr warn;", "error_log stderr notice;")
        if os.geteuid() == 0:  # its workers would not be root, and could not reach the folder
            text = "user root;\n" + text
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        proxy = (folder / "proxy.conf").read_text(encoding="utf-8")
        proxy = proxy.replace("llm_service:8000", target)
        (folder / "proxy.conf").write_text(proxy, encoding="utf-8")

    def __enter__(self) -> Self:
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
        command = [nginx, "-e", "stderr", "-p", str(self._folder), "-c", "nginx.conf"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        lines = []
        for line in self._process.stderr:
            lines.append(line)
            if "start worker process" in line:
                return self
        raise RuntimeError("nginx did not start: " + "".join(lines))

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
