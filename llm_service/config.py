"""Settings: the only reader of the environment. Frozen; nothing is filled in later.

Each field is `LLM_<NAME>` in the environment; docs/settings.md lists them, and a
test compares the two. A field whose default is None is chosen for the machine and the model.
"""

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from llm_service.engine.config import (
    Device,
    DType,
    EngineConfig,
    EngineKind,
    FormatName,
    KernelSet,
    KVCacheDType,
    Quantization,
    Speculation,
)
from llm_service.images.urls import UrlPolicy

_ENGINE = EngineConfig()  # states the defaults of the engine's settings
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+")
_SECRETS = (
    "admin_key",
    "metrics_key",
    "api_keys",
    "redis_url",
    "database_url",
    "prometheus_url",
)


class Settings(BaseSettings):
    """What an operator can set. Secrets may come from a file: `LLM_<NAME>_FILE`."""

    # An empty variable counts as missing, because compose files pass empty ones on. Errors must
    # not repeat their input, which would print secrets.
    model_config = SettingsConfigDict(
        env_prefix="LLM_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    state_dir: Path = Field(Path("state"), description="Folder for what must survive a restart.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="Least severe level that is logged; `debug` adds health checks and scrapes that"
        " went well.",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: console on a terminal, JSON elsewhere."
    )
    prometheus_url: SecretStr | None = Field(
        None,
        description="Draw up to 7 days and the alerts from this Prometheus; default: the own last"
        " hour. Also `_FILE`.",
    )

    model_id: str = Field(
        _ENGINE.model_id, description="The bundled model's name, a local folder or a hub id."
    )
    embedding_model_id: str | None = Field(
        None,
        description="A second model, which makes embeddings beside the first; named like"
        " `LLM_MODEL_ID`. A model that is made for embeddings can also be `LLM_MODEL_ID` itself.",
    )
    device: Device = Field(
        _ENGINE.device, description="Where the model runs; `auto` takes CUDA when it is there."
    )
    dtype: DType = Field(
        _ENGINE.dtype,
        description="Type of the weights. `auto`: as they are stored, where the kernels compute;"
        " else what torch is fastest in here.",
    )
    quantization: Quantization = Field(
        _ENGINE.quantization,
        description="How weights are rounded; `auto` takes 8 bits for models of 100 M weights or"
        " more on a CPU, where that makes them faster. On CUDA rounding needs the extra `cuda`.",
    )
    kv_cache_dtype: KVCacheDType = Field(
        _ENGINE.kv_cache_dtype,
        description="Numbers in the KV cache. `auto` is `float32` where the kernels compute and"
        " `bfloat16` beside quantized weights; else it is `LLM_DTYPE`'s. `int8` needs fused"
        " layers.",
    )
    kernels: KernelSet = Field(
        _ENGINE.kernels,
        description="Instructions that the compiled kernels use; `auto` takes the best that this"
        " CPU has. `none`: torch does all the work.",
    )
    model_aliases: str = Field(
        "",
        description="`name=model,name=model`: further names by which requests may call a model.",
    )
    engine: EngineKind = Field(
        _ENGINE.engine, description="`auto` batches where the model can be batched."
    )
    threads: int | None = Field(
        _ENGINE.threads, ge=1, description="Compute threads; default: the CPU quota."
    )
    kv_cache_bytes: int | None = Field(
        _ENGINE.kv_cache_bytes,
        ge=1,
        description="KV cache size; default: a share of the memory limit.",
    )
    max_batch_size: int | None = Field(
        _ENGINE.max_batch_size,
        ge=1,
        le=256,
        description="Sequences that run at once; default: by memory and cores.",
    )
    max_batched_tokens: int = Field(
        _ENGINE.max_batched_tokens,
        ge=16,
        description="Token budget of one engine step, prefill and decode together.",
    )
    max_inter_token_ms: int = Field(
        _ENGINE.max_inter_token_ms,
        ge=10,
        description="While others stream, a long prompt is read in pieces that keep the gap"
        " between their tokens near this many milliseconds.",
    )
    speculation: Speculation = Field(
        _ENGINE.speculation,
        description="`prompt_lookup` guesses tokens from the text so far and checks several at"
        " once; answers are the same, copies come faster.",
    )
    model_format: FormatName = Field(
        _ENGINE.model_format,
        description="How the model writes reasoning and tool calls; `auto` sees it from the chat"
        " template.",
    )
    max_context: int | None = Field(
        _ENGINE.max_context,
        ge=16,
        description="Longest prompt plus answer in tokens; default: the model's.",
    )
    block_size: int = Field(
        _ENGINE.block_size, ge=1, le=256, description="Positions in one KV-cache block."
    )
    prefix_cache: bool = Field(
        _ENGINE.prefix_cache, description="Reuse the KV cache of shared prompt prefixes."
    )
    max_waiting: int = Field(
        _ENGINE.max_waiting, ge=1, description="Answers that may wait before 503."
    )
    max_reasoning_tokens: int | None = Field(
        None,
        ge=0,
        description="Reasoning of a model ends after so many tokens, unless a request sets its"
        " own limit; default: none.",
    )
    request_timeout_seconds: float = Field(
        600, gt=0, description="Longest time one request may take, queue included."
    )
    drain_seconds: float = Field(
        20, ge=0, description="Time that running requests get to finish at shutdown."
    )

    max_body_bytes: int = Field(16 * 2**20, ge=1024, description="Largest accepted request body.")
    max_total_body_bytes: int = Field(
        64 * 2**20,
        ge=1024,
        description="Bytes of request bodies held at once, the first 64 KiB of each not counted.",
    )
    max_images: int = Field(16, ge=0, description="Images in one request, for models that see.")
    max_image_mb: float = Field(
        10, gt=0, le=1024, description="Largest image file, in MiB, before it is decoded."
    )
    max_image_pixels: int = Field(
        25_000_000,
        ge=1,
        le=89_478_485,  # what Pillow itself allows
        description="Pixels of the largest image. Decoding takes up to 20 bytes for each.",
    )
    image_urls: str = Field(
        "off",
        description="Where images may be fetched from by URL: `off`, `https` (any public host), or"
        " a comma-separated list of hosts, such as `images.example,cdn.example:8443`.",
    )
    max_header_bytes: int = Field(
        32 * 2**10, ge=1024, description="Largest request line and headers together."
    )
    header_timeout_seconds: float = Field(
        20, gt=0, description="Longest time for a request's line and headers to arrive."
    )
    body_timeout_seconds: float = Field(
        30,
        gt=0,
        description="Longest time for a request's body to arrive, not counting a second for each"
        " 16 KiB of it.",
    )
    idle_timeout_seconds: int = Field(
        75,
        ge=1,
        description="Longest time that a connection may stand still: without a request, or with an"
        " answer that its client does not take.",
    )
    max_connections: int = Field(
        2048, ge=8, description="Connections at once, as far as file descriptors allow."
    )
    max_connections_per_address: int = Field(
        256,
        ge=1,
        description="Connections at once of one client address; trusted proxies have no such"
        " limit.",
    )
    cors_origins: str = Field(
        "",
        description="Comma-separated origins, such as `https://app.example`, of web pages that may"
        " call this service from a browser; `*`: all pages.",
    )
    require_keys: bool = Field(True, description="Ask for a bearer key on all but the open routes.")
    admin_key: SecretStr | None = Field(
        None, description="A key with every scope, kept out of the database. Also `_FILE`."
    )
    metrics_key: SecretStr | None = Field(
        None,
        description="A key named `prometheus` with the scope metrics alone, kept out of the"
        " database. Also `_FILE`.",
    )
    api_keys: SecretStr | None = Field(
        None,
        description="`name:key,name:key`, scopes inference and metrics, kept out of the database."
        " Also `_FILE`.",
    )
    database_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL; default: SQLite under the state folder. Also `_FILE`."
    )
    redis_url: SecretStr | None = Field(
        None, description="Share limits through Redis; default: in-process. Also `_FILE`."
    )
    default_rpm: int = Field(
        600, ge=0, description="Requests per minute of a key made without its own; 0: unlimited."
    )
    max_choices_per_key: int | None = Field(
        None,
        ge=1,
        description="Choices of one key that may wait or run at once, in each process; default:"
        " `LLM_MAX_BATCH_SIZE` and half of `LLM_MAX_WAITING`.",
    )
    ip_rate_limit: str = Field(
        "60/minute", description="Limit per client address for requests without a valid key."
    )
    trusted_proxies: str = Field(
        "", description="Comma-separated addresses or networks whose X-Forwarded-For is believed."
    )

    def engine_config(self) -> EngineConfig:
        """The settings of the engine: a field here has the name that it has there."""
        names = {field.name for field in fields(EngineConfig)} & type(self).model_fields.keys()
        return EngineConfig(**{name: getattr(self, name) for name in names})

    def embedding_engine_config(self) -> EngineConfig | None:
        """The settings of the engine that makes embeddings beside the first one; None: no such.

        Numbers, quantization and context are chosen for the first model, so they are not taken.
        """
        if self.embedding_model_id is None:
            return None
        return EngineConfig(
            model_id=self.embedding_model_id,
            device=self.device,
            threads=self.threads,
            max_batched_tokens=self.max_batched_tokens,
            max_inter_token_ms=self.max_inter_token_ms,
            max_waiting=self.max_waiting,
            embeds=True,
        )

    @field_validator("model_aliases")
    @classmethod
    def _readable_aliases(cls, value: str) -> str:
        read_aliases(value)
        return value

    @field_validator("image_urls")
    @classmethod
    def _readable_hosts(cls, value: str) -> str:
        UrlPolicy.of(value)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _known_origins(cls, value: str) -> str:
        for origin in items(value):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: write scheme and host, without a path, such as"
                    " https://app.example, or * for all."
                )
        return value

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: dict[str, object]) -> dict[str, object]:
        files = {name: os.environ.get(f"LLM_{name.upper()}_FILE") for name in _SECRETS}
        secrets = {name: _read_secret(name, file) for name, file in files.items() if file}
        for name in values.keys() & secrets.keys():
            raise ValueError(f"LLM_{name.upper()} and LLM_{name.upper()}_FILE are both set.")
        return values | secrets

    @model_validator(mode="after")
    def _room_for_one_body(self) -> Self:
        if self.max_total_body_bytes < self.max_body_bytes:
            raise ValueError(
                "LLM_MAX_TOTAL_BODY_BYTES must be at least LLM_MAX_BODY_BYTES, which is"
                f" {self.max_body_bytes}."
            )
        return self


def items(value: str) -> list[str]:
    """Return the items of a comma-separated list."""
    return [item.strip() for item in value.split(",") if item.strip()]


def read_aliases(value: str) -> dict[str, str]:
    """Return the model's name for each alias of `LLM_MODEL_ALIASES`. Raises ValueError."""
    aliases: dict[str, str] = {}
    for item in items(value):
        alias, sign, model = (part.strip() for part in item.partition("="))
        if not (alias and sign and model):
            raise ValueError(f"{item!r} is not an alias: write name=model.")
        if alias in aliases:
            raise ValueError(f"the alias {alias!r} is defined twice.")
        aliases[alias] = model
    return aliases


def _read_secret(name: str, file: str) -> str:
    """The content of `file`. Raises ValueError in words; the content is never in them."""
    variable = f"LLM_{name.upper()}_FILE"
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"{variable}: cannot read {file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: {file} is not UTF-8 text.") from None
    if not secret:
        raise ValueError(f"{variable}: {file} is empty.")
    return secret


def words_of(error: ValueError) -> list[str]:
    """A sentence for each wrong setting, with the variable's name but not its value."""
    if not isinstance(error, ValidationError):
        return [str(error)]
    sentences = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        words = problem["msg"].removeprefix("Value error, ")
        field = "".join(str(part) for part in problem["loc"][:1])
        sentences.append(f"LLM_{field.upper()}: {words}" if field else words)
    return sentences
