"""A real redis-server for tests: on a free port, nothing on disk, can be paused and killed."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import redis


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One server that may be stopped and started again on the same port."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", self._directory]
        command += ["--enable-debug-command", "yes", "--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Ready to accept connections" in line:
                return
        raise RuntimeError("redis-server did not start")

    def client(self) -> redis.Redis:
        """For the test's own questions; to be closed by it."""
        return redis.Redis.from_url(self.url)

    def pause(self) -> None:
        """Answers nobody, but keeps its connections and its data."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """At once, with all its data."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def stop(self) -> None:
        if self._process.poll() is None:
            self.kill()


@contextmanager
def running_redis(directory: str) -> Iterator[RedisServer]:
    server = RedisServer(directory)
    try:
        yield server
    finally:
        server.stop()
