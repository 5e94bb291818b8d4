"""GET /api/engine: the model, the machine and the engine's limits, for the dashboard's page."""

from fastapi import APIRouter
from pydantic import BaseModel

from llm_service.api.dependencies import MetricsKey, ModelsDep
from llm_service.api.responses import EmbeddingFacts, embedding_facts
from llm_service.engine.served import ServedModel
from llm_service.machine import SPEEDING_FLAGS, Machine

router = APIRouter()

_LOCAL_FACTS = (
    "architecture",
    "num_parameters",
    "device",
    "dtype",
    "quantization",
    "weights_bytes",
    "load_seconds",
    "encoder_dtype",
)


class ModelOut(BaseModel):
    """Sizes are in bytes and tokens. `default_sampling` is the model folder's own.

    `encoder_dtype` is that of the encoder of images, which is never quantized on a CPU.

    What can be null is known only of a model that this process computes.
    """

    id: str
    is_demonstration: bool
    summary: str
    vocab_size: int
    max_context: int
    engine: str
    format: str
    architecture: str | None
    num_parameters: int | None
    device: str | None
    dtype: str | None
    quantization: str | None
    weights_bytes: int | None
    load_seconds: float | None
    sees: bool
    encoder_dtype: str | None
    embedding: EmbeddingFacts | None  # null: the model generates text
    default_sampling: dict[str, float | int | bool | str]
    notes: list[str]


class InstructionSetOut(BaseModel):
    name: str
    is_present: bool


class MachineOut(BaseModel):
    """The quota, cpuset and affinity allow `cpu_cores` of `num_cpus`; limits are the tightest.

    `throttled_seconds` is how long the quota has held the process back; null: it is not counted.
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
    """`kv_cache_bytes` is 0 where the model keeps its own cache.

    `threads` is null where another process computes the model.
    """

    num_running: int
    num_waiting: int
    max_batch_size: int
    max_waiting: int
    kv_cache_used_bytes: int
    kv_cache_bytes: int
    threads: int | None
    num_restarts: int


class EngineFactsOut(EngineOut):
    """`num_blocks` and `block_size` are 0 where the model keeps its own cache.

    `max_batched_tokens` is null where another process computes the model.
    """

    kind: str
    is_ready: bool
    reason: str
    max_batched_tokens: int | None
    block_size: int
    num_blocks: int
    has_prefix_cache: bool


class OtherModelOut(BaseModel):
    """A model that is served beside the default one."""

    model: ModelOut
    engine: EngineFactsOut


class EnginePageOut(BaseModel):
    """`model` and `engine`, those of the default model, are null while it loads."""

    model: ModelOut | None
    machine: MachineOut
    engine: EngineFactsOut | None
    others: list[OtherModelOut]


# A plain function: reading /proc takes milliseconds when the machine is busy.
@router.get("/api/engine", response_model=EnginePageOut)
def engine_page(key: MetricsKey, models: ModelsDep) -> EnginePageOut:
    """Return what is served, on which machine, and the engine's limits."""
    model = models.default
    return EnginePageOut(
        model=None if model is None else model_out(model),
        machine=_machine_facts(Machine.detect()),
        engine=None if model is None else _engine_facts(model),
        others=[
            OtherModelOut(model=model_out(other), engine=_engine_facts(other))
            for other in models
            if other is not model
        ],
    )


def model_out(model: ServedModel) -> ModelOut:
    info = model.info
    return ModelOut(
        id=info.model_id,
        is_demonstration=model.is_demonstration,
        summary=model.summary,
        vocab_size=info.vocab_size,
        max_context=info.max_context,
        engine=info.engine,
        format=info.format,
        sees=info.sees,
        embedding=embedding_facts(info),
        default_sampling=dict(info.default_sampling),
        notes=list(info.notes),
        # all null where another process computes the model
        **{name: getattr(info.local, name, None) for name in _LOCAL_FACTS},
    )


def engine_out(model: ServedModel) -> EngineOut:
    info, status = model.info, model.engine.status()
    local = info.local
    return EngineOut(
        num_running=status.num_running,
        num_waiting=status.num_waiting,
        max_batch_size=info.max_batch_size,
        max_waiting=info.max_waiting,
        kv_cache_used_bytes=status.kv_cache_used_bytes,
        kv_cache_bytes=0 if local is None else local.kv_cache_bytes,
        threads=None if local is None else local.threads,
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
    local = info.local
    cache = None if local is None else local.kv_cache
    return EngineFactsOut(
        **dict(engine_out(model)),
        kind=info.engine,
        is_ready=status.is_ready,
        reason=status.reason,
        max_batched_tokens=None if local is None else local.max_batched_tokens,
        block_size=0 if cache is None else cache.block_size,
        num_blocks=0 if cache is None else cache.num_blocks,
        has_prefix_cache=cache is not None and cache.has_prefix_cache,
    )
