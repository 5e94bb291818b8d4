"""Measures how long an engine's steps take in this process, and how much of that is not the model.

Steps a real core over real sequences, without a server. Each row of a table is a phase: a number
of sequences that decode at once, or one prompt whose prefill runs.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from llm_service.bench import BenchError
from llm_service.bench.facts import load_average, read_bandwidths
from llm_service.bench.prompts import Prompts
from llm_service.engine import KVCacheInfo, LocalEngineInfo
from llm_service.engine.batched import sequence as sequences
from llm_service.engine.batched.core import EngineCore, Runner
from llm_service.engine.batched.scheduler import ScheduledBatch
from llm_service.engine.config import EngineConfig
from llm_service.engine.kernels.head import LogitNeeds
from llm_service.engine.loading.factory import build_core, model_info
from llm_service.engine.loading.form import WORTH_QUANTIZING
from llm_service.engine.loading.loader import LoadedModel, Resources, load_model, plan_resources
from llm_service.engine.prompt import Prompt
from llm_service.engine.request import GenerationRequest, SamplingParams
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.machine import Machine

_WARM_UP_TOKENS = 4

Figures = dict[str, Any]
# The figures that are summarised over repetitions. Seconds are the mean over the steps.
SUMMARISED = (
    "tokens_per_s",
    "step_seconds",
    "before_seconds",
    "forward_seconds",
    "after_seconds",
    "outside_share",
)


@dataclass(frozen=True, slots=True)
class Phase:
    """Describes a row: `num_sequences` with prompts of `prompt_tokens` that decode or prefill."""

    kind: Literal["decode", "prefill"]
    num_sequences: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class PhaseResult:
    phase: Phase
    repetitions: tuple[Figures, ...]

    def values(self, name: str) -> list[float]:
        return [figures[name] for figures in self.repetitions]

    def median(self, name: str) -> float:
        return statistics.median(self.values(name))

    def as_json(self) -> dict[str, Any]:
        summary = {
            name: (self.median(name), min(self.values(name)), max(self.values(name)))
            for name in SUMMARISED
        }
        return {**asdict(self.phase), "summary": summary, "repetitions": list(self.repetitions)}


@dataclass(slots=True)
class Step:
    """Holds the wall times, in seconds, before, in and after the model's forward pass."""

    before: float
    forward: float
    after: float
    num_tokens: int

    @property
    def seconds(self) -> float:
        return self.before + self.forward + self.after


class Bench:
    """Steps a core over a loaded model, and knows why its weights are quantized as they are."""

    @classmethod
    def load(cls, config: EngineConfig, progress: Callable[[str], None]) -> Self:
        """Raises ModelLoadError, and BenchError for a model that is not batched."""
        machine = Machine.detect()
        loaded = load_model(config, machine, progress)
        return cls(config, loaded, plan_resources(config, loaded, machine))

    def __init__(self, config: EngineConfig, loaded: LoadedModel, resources: Resources) -> None:
        """Raises BenchError for a model that is not batched."""
        if not loaded.is_batched:
            raise BenchError(
                f"{loaded.model_id} runs one request at a time because"
                f" {loaded.reasons.sequential}, and only the"
                " batched engine has steps to measure; `llm-service bench http` measures both."
            )
        self.info = model_info(loaded, resources, config)
        assert self.info.local is not None
        assert self.info.local.kv_cache is not None
        self.local: LocalEngineInfo = self.info.local
        self.kv_cache: KVCacheInfo = self.info.local.kv_cache
        self.why_quantization = _why_quantization(config, loaded)
        is_on_cuda = loaded.model.device.type == "cuda"
        self._times: list[float] = []  # start and end of the last step's forward pass
        self._tokenizer = SealedTokenizer(loaded.tokenizer)
        self._core: EngineCore = build_core(
            loaded,
            self.info,
            config,
            wrap_runner=lambda runner: _TimedRunner(runner, self._times, is_on_cuda),
        )
        self._core.warm_up()  # as serving does; a first step is not like the others

    def measure(
        self,
        phases: Sequence[Phase],
        repetitions: int,
        prompts: Prompts,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        done: Callable[[], object] = lambda: None,
    ) -> list[PhaseResult]:
        """Run each phase once shortened and unmeasured, then `repetitions` times.

        Raises BenchError, before anything runs, if a phase does not fit.
        """
        for phase in phases:
            if reason := self.why_not(phase):
                raise BenchError(reason)
        results = []
        for phase in phases:
            sampling = SamplingParams(
                phase.output_tokens, temperature=temperature, top_p=top_p, ignore_eos=True
            )
            short = replace(sampling, max_tokens=min(_WARM_UP_TOKENS, phase.output_tokens))
            self._run(phase, prompts, short)
            repeated = []
            for _ in range(repetitions):
                before = {"load_average": load_average(), "read_bandwidths": read_bandwidths()}
                steps = self._run(phase, prompts, sampling)
                if not steps:
                    raise BenchError(
                        f"No step decoded all {phase.num_sequences} sequences at once, because the"
                        " first ended before the last began: raise --output-tokens."
                    )
                repeated.append(before | _figures(steps))
                done()
            results.append(PhaseResult(phase, tuple(repeated)))
        return results

    def _run(self, phase: Phase, prompts: Prompts, sampling: SamplingParams) -> list[Step]:
        """Run the phase; return its steps that decode all sequences, or those of the prefill."""
        added = [
            self._sequence(str(i), phase.prompt_tokens, prompts, sampling)
            for i in range(phase.num_sequences)
        ]
        for sequence in added:
            self._core.add(sequence)
        steps = []
        while self._core.has_work:
            self._times.clear()
            started = time.perf_counter()
            stats = self._core.step().stats
            ended = time.perf_counter()
            if stats.num_preemptions:
                raise BenchError("The KV cache is too small: raise LLM_KV_CACHE_BYTES.")
            forward_started, forward_ended = self._times
            is_decode = not stats.num_computed_prompt_tokens
            num_tokens = stats.num_computed_prompt_tokens or stats.num_output_tokens
            is_whole = not is_decode or stats.num_sequences == phase.num_sequences
            if is_decode == (phase.kind == "decode") and is_whole:
                step = Step(
                    before=forward_started - started,
                    forward=forward_ended - forward_started,
                    after=ended - forward_ended,
                    num_tokens=num_tokens,
                )
                steps.append(step)
        for sequence in added:
            if sequence.error is not None:
                raise BenchError(f"A sequence could not be finished: {sequence.error.message}")
        return steps

    def _sequence(
        self, name: str, num_tokens: int, prompts: Prompts, sampling: SamplingParams
    ) -> sequences.Sequence:
        """Make a sequence whose prompt has exactly `num_tokens` tokens."""
        token_ids: list[int] = []
        while len(token_ids) < num_tokens:  # each word makes at least one token
            token_ids += self._tokenizer.encode_text(prompts.make(num_tokens))
        request = GenerationRequest(name, Prompt(tuple(token_ids[:num_tokens])), sampling)
        return sequences.Sequence.from_request(request, time.monotonic())

    def why_not(self, phase: Phase) -> str | None:
        """Why `phase` does not fit this engine; None where it does."""
        info, num_tokens = self.info, phase.prompt_tokens + phase.output_tokens
        if num_tokens > info.max_context:
            return (
                f"{phase.prompt_tokens} prompt and {phase.output_tokens} output tokens are more"
                f" than the {info.max_context} that {info.model_id} can see here."
            )
        if phase.num_sequences > info.max_batch_size:
            return (
                f"{phase.num_sequences} sequences are more than the {info.max_batch_size} that run"
                " at once here: raise LLM_MAX_BATCH_SIZE."
            )
        # The scheduler admits a sequence only where a spare block is left for each that runs.
        cache = self.kv_cache
        num_blocks = phase.num_sequences * (-(-num_tokens // cache.block_size) + 1)
        if phase.num_sequences > 1 and num_blocks > cache.num_blocks:
            return (
                f"{phase.num_sequences} sequences of {num_tokens} tokens need"
                f" {num_blocks * cache.block_size} positions in the KV cache, which has"
                f" {cache.num_blocks * cache.block_size}: raise LLM_KV_CACHE_BYTES."
            )
        return None


def _why_quantization(config: EngineConfig, loaded: LoadedModel) -> str:
    if config.quantization != "auto":
        return "as asked"
    reasons = loaded.reasons
    if reasons.unquantized is not None:
        return f"it is not quantized because then {reasons.unquantized}"
    if reasons.quantization is not None:
        return f"it {reasons.quantization}"
    if loaded.form.quantization != "none":
        return "as in its files"
    if loaded.model.device.type == "cuda":
        return "auto rounds on a CPU only"
    return f"it has fewer than {WORTH_QUANTIZING / 1e6:.0f} M weights"


def phases(
    num_sequences: Sequence[int],
    prompt_tokens: int,
    output_tokens: int,
    prompt_lengths: Sequence[int],
) -> list[Phase]:
    decodes = [Phase("decode", n, prompt_tokens, output_tokens) for n in num_sequences]
    return decodes + [Phase("prefill", 1, length, 1) for length in prompt_lengths]


class _TimedRunner:
    """Wraps a runner and appends to `times` when each forward pass starts and ends."""

    def __init__(self, runner: Runner, times: list[float], is_on_cuda: bool) -> None:
        self._runner, self._times, self._is_on_cuda = runner, times, is_on_cuda

    @property
    def block_bytes(self) -> int:
        return self._runner.block_bytes

    def forward(self, batch: ScheduledBatch, needs: Sequence[LogitNeeds] = ()) -> Tensor:
        self._note_time()
        logits = self._runner.forward(batch, needs)
        self._note_time()
        return logits

    def _note_time(self) -> None:
        if self._is_on_cuda:
            torch.cuda.synchronize()  # else the work is only queued
        self._times.append(time.perf_counter())


def _figures(steps: Sequence[Step]) -> Figures:
    """Summarise the steps; times are seconds per step, `outside_share` is a share of all time."""
    seconds = sum(step.seconds for step in steps)
    num_tokens = sum(step.num_tokens for step in steps)
    forward = sum(step.forward for step in steps)
    return {
        "num_steps": len(steps),
        "num_tokens": num_tokens,
        "tokens_per_s": num_tokens / seconds,
        "step_seconds": seconds / len(steps),
        "before_seconds": sum(step.before for step in steps) / len(steps),
        "forward_seconds": forward / len(steps),
        "after_seconds": sum(step.after for step in steps) / len(steps),
        "outside_share": 1 - forward / seconds,
    }
