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
    NO_ANSWER,
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
    embedding_plan: LoadingPlan | None  # of LLM_EMBEDDING_MODEL_ID
    findings: tuple[Finding, ...]

    @property
    def is_fatal(self) -> bool:
        return any(finding.is_fatal for finding in self.findings)


def examine(model_id: str | None, progress: Progress, *, loads: bool = False) -> Report:
    """Collect the report. `model_id` replaces LLM_MODEL_ID and LLM_EMBEDDING_MODEL_ID.

    With `loads`, also load the model as the service would, and generate a token.
    """
    started, before = time.monotonic(), this_machine.throttling()
    machine = Machine.detect()
    settings, findings = _settings()
    config = EngineConfig() if settings is None else settings.engine_config()
    config = replace(config, model_id=model_id) if model_id else config
    software = software_of(config, machine)
    second = None if settings is None or model_id else settings.embedding_engine_config()
    plan, embedding_plan = None, None
    if settings is not None or model_id:
        plan = _plan(config, machine, progress, findings)
    if second is not None:
        embedding_plan = _plan(second, _beside(machine, plan), progress, findings)
    state = Disk.of(Path("state") if settings is None else settings.state_dir)
    cache = Disk.of(Path(hub.HF_HUB_CACHE))
    seconds = time.monotonic() - started
    window = Window(before, this_machine.throttling(), seconds, machine.cpu_cores)
    findings += cpu_findings(machine, software, window)
    findings += memory_findings(machine)
    findings += disk_findings(state, cache, plan)
    plans = [each for each in (plan, embedding_plan) if each is not None]
    for each in plans:
        findings += model_findings(each, machine)
        findings += folder_findings(*check_folder(each))
    if loads and not any(finding.is_fatal for finding in findings):
        findings += _load([each.config for each in plans], progress)
    findings.sort(key=lambda finding: not finding.is_fatal)
    return Report(
        machine=machine,
        window=window,
        software=software,
        state=state,
        cache=cache,
        plan=plan,
        embedding_plan=embedding_plan,
        findings=tuple(findings),
    )


def _plan(
    config: EngineConfig, machine: Machine, progress: Progress, findings: list[Finding]
) -> LoadingPlan | None:
    """Plan to load a model; what prevents that goes to `findings`."""
    try:
        found = examine_model(config.model_id, progress, traces=True, embeds=config.embeds)
        return make_plan(found, config, machine)
    except ModelLoadError as error:
        findings.append(Finding("model", True, str(error), ""))
        return None


def _beside(machine: Machine, plan: LoadingPlan | None) -> Machine:
    """Return the machine with the memory that the planned model leaves."""
    if plan is None or plan.device.type != "cpu":
        return machine
    kv_cache_bytes = 0 if plan.resources is None else plan.resources.kv_cache_bytes
    taken = plan.need.least_bytes + kv_cache_bytes
    left = max(0, machine.memory_available_bytes - taken)
    return replace(machine, memory_available_bytes=left)


def _load(configs: list[EngineConfig], progress: Progress) -> list[Finding]:
    budget, findings = Budget(), []
    for config in configs:
        try:
            engine = load_engine(config, unobserved, budget, progress=progress)
            asyncio.run(_answer(engine))
        except (ModelLoadError, ServiceError) as error:
            return [Finding("model", True, str(error), "")]
        findings += [Finding("model", False, f"The model {n}.", "") for n in engine.info.notes]
    return findings


async def _answer(engine: Engine) -> None:
    await engine.start()
    prompt = tuple(engine.tokenizer.encode_text("Hello"))
    one_token = SamplingParams(max_tokens=1)
    sampling = one_token if engine.info.embedding is None else NO_ANSWER
    try:
        async for _ in engine.submit(GenerationRequest("doctor-0", Prompt(prompt), sampling)):
            pass
    finally:
        await engine.stop(0)


def _settings() -> tuple[Settings | None, list[Finding]]:
    try:
        return Settings(), []
    except ValueError as error:
        remedy = "docs/settings.md says what it takes."
        return None, [Finding("settings", True, sentence, remedy) for sentence in words_of(error)]
