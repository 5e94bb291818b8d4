"""The shape of a model in lists: what each kind of client reads about it, under its own names."""

import hashlib
from typing import Literal

from pydantic import BaseModel

from llm_service import __version__
from llm_service.api.responses import EmbeddingFacts, embedding_facts, rfc3339
from llm_service.api.schemas import SamplingFields
from llm_service.engine import ModelInfo
from llm_service.engine.served import ServedModel

DEFAULT_SAMPLING_NAMES = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
)
# Codex uses this text in place of its own system prompt, so it may not be empty.
CODEX_INSTRUCTIONS = """\
You are a coding agent. You work in a terminal, in the user's folder, and you have tools to run
commands and to change files. Read the files that matter before you change them. Make the smallest
change that does what the user asked for, and keep to the style of the code around it. Run the
project's own tests or checks when there are some. Never delete or overwrite what the user did not
ask you to change. When you are done, say in a few sentences what you did and what remains."""
_CODEX_OUTPUT_BYTES = 10_000  # of one tool's output that Codex puts into a prompt


class Capabilities(BaseModel):
    """What requests may use. `format` is how the model writes reasoning and calls."""

    format: str
    completion: bool
    chat: bool  # the model has a chat template
    embeddings: bool
    tools: bool
    reasoning: bool
    structured_output: bool
    vision: bool  # chat requests may have images


class Meta(BaseModel):
    """What llama.cpp's clients read."""

    n_ctx: int
    n_vocab: int


class Model(BaseModel):
    """One name that requests may give: a model's own, or an alias, whose model is `root`.

    The context length has several names because clients look for different ones.
    """

    id: str
    object: Literal["model"] = "model"
    type: Literal["model"] = "model"
    created: int
    created_at: str
    owned_by: str = "llm_service"
    root: str
    display_name: str
    max_model_len: int
    context_length: int
    max_context_length: int
    max_output_tokens: int
    meta: Meta
    capabilities: Capabilities
    # what a request gets for the sampling parameters that it leaves out; empty for embeddings
    default_sampling: dict[str, float]
    embedding: EmbeddingFacts | None = None  # null: the model generates text


class TruncationPolicy(BaseModel):
    mode: Literal["bytes"] = "bytes"
    limit: int = _CODEX_OUTPUT_BYTES


class CodexModel(BaseModel):
    """What Codex has to know about a model; it ignores a list in which one field is missing."""

    slug: str
    display_name: str
    description: str
    supported_reasoning_levels: list[dict[str, str]] = []
    shell_type: Literal["shell_command"] = "shell_command"
    visibility: Literal["list"] = "list"
    supported_in_api: bool = True
    priority: int
    upgrade: None = None
    base_instructions: str = CODEX_INSTRUCTIONS
    supports_reasoning_summaries: bool = False
    support_verbosity: bool = False
    default_verbosity: None = None
    apply_patch_tool_type: None = None
    truncation_policy: TruncationPolicy = TruncationPolicy()
    supports_parallel_tool_calls: bool = False
    context_window: int
    experimental_supported_tools: list[str] = []
    input_modalities: list[str] = ["text"]


class ModelList(BaseModel):
    """OpenAI's `data`, with Anthropic's fields about pages, and Codex' `models`."""

    object: Literal["list"] = "list"
    data: list[Model]
    models: list[CodexModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def model_list(named: list[tuple[str, ServedModel]], created: float, limit: int) -> ModelList:
    """Describe the first `limit` names and their models; `created` is in unix seconds."""
    shown = named[:limit]
    return ModelList(
        data=[model_out(name, model, created) for name, model in shown],
        models=[_codex_model(name, model, i) for i, (name, model) in enumerate(shown)],
        has_more=len(shown) < len(named),
        first_id=shown[0][0] if shown else None,
        last_id=shown[-1][0] if shown else None,
    )


def model_out(name: str, model: ServedModel, created: float) -> Model:
    info = model.info
    generates = info.embedding is None
    return Model(
        id=name,
        root=info.model_id,
        display_name=name,
        created=int(created),
        created_at=rfc3339(int(created)),
        max_model_len=info.max_context,
        context_length=info.max_context,
        max_context_length=info.max_context,
        max_output_tokens=info.max_context - 1,  # the prompt has at least one token
        meta=Meta(n_ctx=info.max_context, n_vocab=info.vocab_size),
        capabilities=Capabilities(
            format=model.format.name,
            completion=generates,
            chat=generates and model.tokenizer.has_chat_template,
            embeddings=not generates,
            tools=model.format.has_tools,
            reasoning=model.format.has_reasoning,
            structured_output=generates,
            vision=info.sees,
        ),
        default_sampling=_default_sampling(info) if generates else {},
        embedding=embedding_facts(info),
    )


def system_fingerprint(info: ModelInfo) -> str:
    """Return a short name for what answers of equal requests depend on: model, weights, version."""
    local = info.local
    weights = ("", "") if local is None else (local.dtype, local.quantization)
    parts = "\0".join((info.model_id, *weights, __version__))
    return f"fp_{hashlib.sha256(parts.encode()).hexdigest()[:10]}"


def _codex_model(name: str, model: ServedModel, priority: int) -> CodexModel:
    return CodexModel(
        slug=name,
        display_name=name,
        description=model.summary,
        priority=priority,
        supports_parallel_tool_calls=model.format.has_tools,
        context_window=model.info.max_context,
        input_modalities=["text", "image"] if model.info.sees else ["text"],
    )


def _default_sampling(info: ModelInfo) -> dict[str, float]:
    """Return the parameters of a request that sets none, made by the code that serves requests."""
    sampling = SamplingFields(model=info.model_id).sampling(
        dict(info.default_sampling), max_tokens=1, num_logprobs=None, vocab_size=info.vocab_size
    )
    return {name: getattr(sampling, name) for name in DEFAULT_SAMPLING_NAMES}
