"""Creates each of the stack's secrets once, and shows those that a person needs.

Runs before all other containers, as the service's user, on the volume `secrets`. It never changes
an existing secret, so running it again only shows them. Needs no packages.

Each file is readable by its owner and by one group: that of the only other container that may
read it. Compose makes this process a member of these groups, because without root only a member
can give a file to a group.
"""

import os
import secrets
import stat
import sys
from pathlib import Path

FOLDER = Path("/run/secrets/llm")
SERVICE_GROUP = 10001
PROMETHEUS_GROUP = 65534
GRAFANA_GROUP = 472


def main() -> None:
    admin_key = make("admin_key", f"llms_{secrets.token_urlsafe(32)}", SERVICE_GROUP)
    # The key of Prometheus. The service reads it as the owner of the file.
    make("metrics_token", f"llms_{secrets.token_urlsafe(32)}", PROMETHEUS_GROUP)
    grafana_password = make("grafana_password", secrets.token_urlsafe(24), GRAFANA_GROUP)
    print(f"API and dashboard, key with every scope:  {admin_key}")
    print(f"Grafana, user admin, password:            {grafana_password}")


def make(name: str, secret: str, group: int) -> str:
    """Return the content of the file `name`; write `secret` to it first if it is missing."""
    path = FOLDER / name
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    # Written under another name first, so that nobody sees an incomplete file.
    new = FOLDER / f".{name}.{os.getpid()}"
    new.touch(mode=0o600)
    new.write_text(secret + "\n", encoding="ascii")
    os.chown(new, -1, group)
    new.chmod(stat.S_IRUSR | stat.S_IRGRP)
    new.rename(path)
    return secret


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"secrets: cannot write to {FOLDER}: {error}")
