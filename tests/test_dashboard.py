"""The dashboard in a real Chromium, against the real service and the bundled model.

The pages' own tests are dashboard/e2e; this gives them a service.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from llm_service.app import DASHBOARD_DIR
from tests.support.service import ADMIN_KEY, RunningService

ROOT = Path(__file__).parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MAC_BROWSER = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def chromium() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), MAC_BROWSER)
    assert Path(found).exists(), "no Chromium here: see scripts/test-tools.sh"
    return found


def run_playwright(project: str, **environment: str) -> None:
    assert (DASHBOARD_DIR / "index.html").is_file(), "not built: make dashboard"
    command = ["scripts/with-node.sh", "npm", "--prefix", "dashboard", "run", "--silent", "e2e"]
    result = subprocess.run(
        [*command, "--", f"--project={project}"],
        cwd=ROOT,
        env={**os.environ, "CHROMIUM_PATH": chromium(), **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "skipped" not in result.stdout


@pytest.mark.browser
def test_the_dashboard_works_in_a_browser_against_the_service(
    service: RunningService, tmp_path: Path
) -> None:
    with RunningService(tmp_path, require_keys=False) as open_service:
        run_playwright(
            "service",
            DASHBOARD_URL=service.url,
            DASHBOARD_KEY=ADMIN_KEY,
            DASHBOARD_OPEN_URL=open_service.url,
        )


@pytest.mark.browser
@pytest.mark.slow
def test_each_page_shows_every_state_and_failure_of_the_mock_service() -> None:
    run_playwright("mock")
