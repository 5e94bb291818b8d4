# /// script
# dependencies = ["canitoolcall==0.1.1"]
# ///
"""canitoolcall: every scenario of tool calling, streamed and whole."""

import os
import subprocess
import sys
from pathlib import Path

command = [str(Path(sys.executable).parent / "canitoolcall"), "probe"]
command += ["--base-url", os.environ["LLM_BASE_URL"] + "/v1", "--model", os.environ["LLM_MODEL"]]
command += ["--api-key", os.environ["LLM_API_KEY"]]
sys.exit(subprocess.run(command, check=False).returncode)
