"""Collects everything that `llm-service doctor` reports.

Separate from `doctor.py` because it loads torch, which takes seconds. It needs no running service
and starts none.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import constants as hub

from llm_service import machine as this_machine
from llm_service.cli.findings import (
    Finding,
    cpu_findings,
    disk_findings,
    folder_findings,
    memory_findings,
    model_findings,
)
from llm_service.cli.surroundings import Disk, Software, Window, software_of
from llm_service.config import Settings, words_of
from llm_service.engine import (
    Engine,
    GenerationRequest,
    Prompt,
    SamplingParams,
    unobserved,
)
from llm_service.engine.budget import Budget
from llm_service.engine.config import EngineConfig
from llm_service.engine.loading.checkpoint import examine as examine_model
from llm_service.engine.loading.factory import load_engine
from llm_service.engine.loading.model_files import ModelLoadError, Progress
from llm_service.engine.loading.plan import LoadingPlan, make_plan
from llm_service.engine.loading.weights import check_folder
from llm_service.errors import ServiceError
from llm_service.machine import Machine


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    window: Window
    software: Software
    state: Disk
    cache: Disk
    plan: LoadingPlan | None  # None: no model, or no plan for it
    findings: tuple[Finding, ...]

    @property
    def is_fatal(self) -> bool:
        return any(finding.is_fatal for finding in self.findings)


def examine(model_id: str | None, progress: Progress, *, loads: bool = False) -> Report:
    """Collect the report. `model_id` replaces LLM_MODEL_ID.

    With `loads`, also load the model as the service would, and generate a token.
    """
    started, before = time.monotonic(), this_machine.throttling()
    machine = Machine.detect()
    settings, findings = _settings()
    config = EngineConfig() if settings is None else settings.engine_config()
    config = replace(config, model_id=model_id) if model_id else config
    software = software_of(config, machine)
    plan = None
    if settings is not None or model_id:
        try:
            plan = make_plan(examine_model(config.model_id, progress, traces=True), config, machine)
        except ModelLoadError as error:
            findings.append(Finding("model", True, str(error), ""))
    state = Disk.of(Path("state") if settings is None else settings.state_dir)
    cache = Disk.of(Path(hub.HF_HUB_CACHE))
    seconds = time.monotonic() - started
    window = Window(before, this_machine.throttling(), seconds, machine.cpu_cores)
    findings += cpu_findings(machine, software, window)
    findings += memory_findings(machine)
    findings += disk_findings(state, cache, plan)
    if plan is not None:
        findings += model_findings(plan, machine)
        findings += folder_findings(*check_folder(plan))
        if loads and not any(finding.is_fatal for finding in findings):
            findings += _load(config, progress)
    findings.sort(key=lambda finding: not finding.is_fatal)
    return Report(
        machine=machine,
        window=window,
        software=software,
        state=state,
        cache=cache,
        plan=plan,
        findings=tuple(findings),
    )


def _load(config: EngineConfig, progress: Progress) -> list[Finding]:
    try:
        engine = load_engine(config, unobserved, Budget(), progress=progress)
        asyncio.run(_answer(engine))
    except (ModelLoadError, ServiceError) as error:
        return [Finding("model", True, str(error), "")]
    return [Finding("model", False, f"The model {note}.", "") for note in engine.info.notes]


async def _answer(engine: Engine) -> None:
    await engine.start()
    prompt = tuple(engine.tokenizer.encode_text("Hello"))
    try:
        async for _ in engine.submit(
            GenerationRequest("doctor", Prompt(prompt), SamplingParams(max_tokens=1))
        ):
            pass
    finally:
        await engine.stop(0)


def _settings() -> tuple[Settings | None, list[Finding]]:
    try:
        return Settings(), []
    except ValueError as error:
        remedy = "docs/settings.md says what it takes."
        return None, [Finding("settings", True, sentence, remedy) for sentence in words_of(error)]
