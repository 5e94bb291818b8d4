"""GET /api/engine: the model, the machine and the engine's limits, for the dashboard's page."""

from fastapi import APIRouter
from pydantic import BaseModel

from llm_service.api.dependencies import MetricsKey, ModelsDep
from llm_service.engine.served import ServedModel
from llm_service.machine import SPEEDING_FLAGS, Machine

router = APIRouter()


class ModelOut(BaseModel):
    """Sizes are in bytes and tokens. `default_sampling` is the model folder's own."""

    id: str
    is_demonstration: bool
    summary: str
    architecture: str
    num_parameters: int
    vocab_size: int
    max_context: int
    device: str
    dtype: str
    quantization: str
    engine: str
    weights_bytes: int
    load_seconds: float
    default_sampling: dict[str, float | int | bool | str]
    notes: list[str]


class InstructionSetOut(BaseModel):
    name: str
    is_present: bool


class MachineOut(BaseModel):
    """`cpu_cores` is what quota, cpuset and affinity leave of `num_cpus`; limits are the tightest.

    `throttled_seconds` is how long the quota has held us back; null: not counted here.
    """

    cpu_model: str
    cpu_cores: float
    num_cpus: int
    instruction_sets: list[InstructionSetOut]
    memory_total_bytes: int
    memory_limit_bytes: int
    memory_available_bytes: int
    process_memory_bytes: int
    num_process_threads: int
    throttled_seconds: float | None


class EngineOut(BaseModel):
    """`kv_cache_bytes` is 0 where the model keeps its own cache."""

    num_running: int
    num_waiting: int
    max_batch_size: int
    max_waiting: int
    kv_cache_used_bytes: int
    kv_cache_bytes: int
    threads: int
    num_restarts: int


class EngineFactsOut(EngineOut):
    """`num_blocks` is 0 where the model keeps its own cache."""

    kind: str
    is_ready: bool
    reason: str
    max_batched_tokens: int
    block_size: int
    num_blocks: int
    has_prefix_cache: bool


class EnginePageOut(BaseModel):
    """`model` and `engine` are null while the model loads."""

    model: ModelOut | None
    machine: MachineOut
    engine: EngineFactsOut | None


# A plain function: reading /proc takes milliseconds when the machine is busy.
@router.get("/api/engine", response_model=EnginePageOut)
def engine_page(key: MetricsKey, models: ModelsDep) -> EnginePageOut:
    """What is served, on what, and within which limits."""
    model = models.default
    return EnginePageOut(
        model=None if model is None else model_out(model),
        machine=_machine_facts(Machine.detect()),
        engine=None if model is None else _engine_facts(model),
    )


def model_out(model: ServedModel) -> ModelOut:
    info = model.info
    return ModelOut(
        id=info.model_id,
        is_demonstration=model.is_demonstration,
        summary=model.summary,
        architecture=info.architecture,
        num_parameters=info.num_parameters,
        vocab_size=info.vocab_size,
        max_context=info.max_context,
        device=info.device,
        dtype=info.dtype,
        quantization=info.quantization,
        engine=info.engine,
        weights_bytes=info.weights_bytes,
        load_seconds=info.load_seconds,
        default_sampling=dict(info.default_sampling),
        notes=list(info.notes),
    )


def engine_out(model: ServedModel) -> EngineOut:
    info, status = model.info, model.engine.status()
    return EngineOut(
        num_running=status.num_running,
        num_waiting=status.num_waiting,
        max_batch_size=info.max_batch_size,
        max_waiting=info.max_waiting,
        kv_cache_used_bytes=status.kv_cache_used_bytes,
        kv_cache_bytes=info.kv_cache_bytes,
        threads=info.threads,
        num_restarts=status.num_restarts,
    )


def _machine_facts(machine: Machine) -> MachineOut:
    return MachineOut(
        cpu_model=machine.cpu_model,
        cpu_cores=machine.cpu_cores,
        num_cpus=machine.num_cpus,
        instruction_sets=[
            InstructionSetOut(name=flag, is_present=flag in machine.cpu_flags)
            for flag in SPEEDING_FLAGS
        ],
        memory_total_bytes=machine.memory_total_bytes,
        memory_limit_bytes=machine.memory_limit_bytes,
        memory_available_bytes=machine.memory_available_bytes,
        process_memory_bytes=machine.process_memory.total_bytes,
        num_process_threads=machine.num_process_threads,
        throttled_seconds=machine.throttled_seconds,
    )


def _engine_facts(model: ServedModel) -> EngineFactsOut:
    info, status = model.info, model.engine.status()
    return EngineFactsOut(
        **dict(engine_out(model)),
        kind=info.engine,
        is_ready=status.is_ready,
        reason=status.reason,
        max_batched_tokens=info.max_batched_tokens,
        block_size=info.block_size,
        num_blocks=info.num_blocks,
        has_prefix_cache=info.has_prefix_cache,
    )
