# /// script
# dependencies = ["canitoolcall==0.1.1"]
# ///
"""canitoolcall: scenarios of tool calling, streamed and whole.

pocket is too small for some of them (it was never shown two calls at once, for example). Those may
fail for what the model says, but not for how the service sends it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BEYOND_POCKET = {"parallel-calls", "nested-args", "unicode-args", "reasoning-then-call"}

report_path = Path(tempfile.mkdtemp()) / "report.json"
command = [str(Path(sys.executable).parent / "canitoolcall"), "probe"]
command += ["--base-url", os.environ["LLM_BASE_URL"] + "/v1", "--model", os.environ["LLM_MODEL"]]
command += ["--api-key-env", "LLM_API_KEY", "--concurrency", "2", "--json", str(report_path)]
subprocess.run(command, check=False)
outcomes = json.loads(report_path.read_text())["outcomes"]
assert len(outcomes) == 27, len(outcomes)
for outcome in outcomes:
    is_scenario = outcome["check"] == "scenario"
    is_excused = is_scenario and outcome["scenario_id"] in BEYOND_POCKET
    allowed = {"pass", "fail"} if is_excused else {"pass"}
    assert outcome["status"] in allowed, outcome
