"""Makes the stack's secrets, each once, and shows those that a person needs.

Runs before everything else, as the service's user, on the volume `secrets`. A secret that
is there is never touched, so running it again only shows them. Needs no packages.

Each file is for its owner and for one group: that of the only other container that may
read it. Compose makes this process a member of those groups, because only a member may
give a file to a group without being root.
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
    # What Prometheus scrapes with. The service reads it as the owner of the file.
    make("metrics_token", f"llms_{secrets.token_urlsafe(32)}", PROMETHEUS_GROUP)
    grafana_password = make("grafana_password", secrets.token_urlsafe(24), GRAFANA_GROUP)
    print(f"API and dashboard, key with every scope:  {admin_key}")
    print(f"Grafana, user admin, password:            {grafana_password}")


def make(name: str, secret: str, group: int) -> str:
    """The content of the file `name`, which is made from `secret` if it is not there."""
    path = FOLDER / name
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    # Under another name first: whoever sees the file sees all of it.
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
