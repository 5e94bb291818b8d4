"""The served models by name, and the object through which a request uses one of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llm_service.engine import Engine, Grammars, ModelFormat, ModelInfo, PromptTokenizer
from llm_service.errors import InvalidRequest, ModelNotFound, NotLoaded

BUNDLED_MODEL = "pocket"
STALLED_SECONDS = 30  # without a finished step while there is work: the engine hangs


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model: its facts, its tokenizer, its engine and how its answers are written.

    The endpoint resolves the model of a request once and passes it on.
    """

    info: ModelInfo
    tokenizer: PromptTokenizer
    engine: Engine
    format: ModelFormat

    @classmethod
    def of(cls, engine: Engine) -> "ServedModel":
        return cls(engine.info, engine.tokenizer, engine, engine.format)

    @property
    def grammars(self) -> Grammars:
        return self.engine.grammars

    @property
    def makes_embeddings(self) -> bool:
        return self.info.embedding is not None

    @property
    def is_demonstration(self) -> bool:
        return self.info.model_id == BUNDLED_MODEL

    @property
    def summary(self) -> str:
        """One line about the model, for the dashboard, the banner and `GET /`."""
        name, local = self.info.model_id, self.info.local
        if local is None:
            return f"{name}: computed elsewhere."
        size = round(local.num_parameters / 1e6)
        if self.is_demonstration:
            return (
                f"{name}: a {size} M-parameter demonstration model."
                " Set LLM_MODEL_ID to serve another."
            )
        purpose = "" if self.info.embedding is None else ", makes embeddings"
        return f"{name}: {size} M parameters, {local.dtype} on {local.device}{purpose}."

    def not_ready_reason(self) -> str | None:
        """Why the engine cannot answer now; None if it accepts requests and makes progress."""
        status = self.engine.status()
        if not status.is_ready:
            return status.reason or "The engine is not ready."
        if status.stalled_seconds > STALLED_SECONDS:
            return f"The engine has not finished a step for {status.stalled_seconds:.0f} s."
        return None


class Models:
    """The served models, the default one first. If there is none, `reason` says why.

    Requests may also name a model by an alias. The composition root sets `reason`, `has_failed` and
    `is_stopping`.
    """

    def __init__(self, aliases: Mapping[str, str] | None = None) -> None:
        """`aliases` has the name of a model for each alias."""
        self._by_name: dict[str, ServedModel] = {}
        self._aliases = dict(aliases or {})
        self.reason = "The model is loading."
        self.has_failed = False  # the first load, for good
        self.is_stopping = False

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(tuple(self._by_name.values()))

    def add(self, model: ServedModel) -> None:
        """Serve `model`. Raises ValueError if its name is in use."""
        if model.info.model_id in self._by_name:
            raise ValueError(f"A model is served as {model.info.model_id!r} already.")
        if model.info.model_id in self._aliases:
            raise ValueError(
                f"LLM_MODEL_ALIASES: {model.info.model_id!r} is the name of a model, so it cannot"
                " be an alias."
            )
        self._by_name[model.info.model_id] = model

    def remove(self, name: str) -> ServedModel:
        """Stop serving the model and return it; its engine still runs."""
        return self._by_name.pop(name)

    def check_aliases(self) -> None:
        """Raise ValueError for an alias of a model that is not served."""
        for alias, name in self._aliases.items():
            if name not in self._by_name:
                raise ValueError(
                    f"LLM_MODEL_ALIASES: {alias!r} stands for {name!r}, which is not served."
                    f" Served: {', '.join(self._by_name)}."
                )

    def named(self) -> list[tuple[str, ServedModel]]:
        """Return every name that a request may give, with its model: models first, then aliases."""
        aliases = [(a, self._by_name[n]) for a, n in self._aliases.items() if n in self._by_name]
        return [*self._by_name.items(), *aliases]

    @property
    def default(self) -> ServedModel | None:
        """The model for requests without a model name; None if no model is loaded."""
        return next(iter(self), None)

    def resolve(self, name: str | None) -> ServedModel:
        """Return the model for a request. Raises NotLoaded, or ModelNotFound with all names."""
        default = self.default
        if default is None:
            raise NotLoaded(self.reason, retry_after=2)
        if name is None:
            return default
        model = self._by_name.get(self._aliases.get(name, name))
        if model is None:
            raise ModelNotFound(
                f"The model {name[:100]!r} is not served here."
                f" Available: {', '.join(name for name, _ in self.named())}.",
                param="model",
            )
        return model

    def generating(self, name: str | None) -> ServedModel:
        """Return the model for a request that generates text. Raises as `resolve` does.

        Raises InvalidRequest for a model that makes embeddings.
        """
        model = self.resolve(name)
        if model.makes_embeddings:
            raise InvalidRequest(
                f"The model {model.info.model_id!r} makes embeddings and does not generate text."
                f" {self._advice('generates text', makes_embeddings=False)}",
                param="model",
            )
        return model

    def embedding(self, name: str | None) -> ServedModel:
        """Return the model for a request for embeddings. Raises as `resolve` does.

        Raises InvalidRequest for a model that generates text.
        """
        model = self.resolve(name)
        if not model.makes_embeddings:
            raise InvalidRequest(
                f"The model {model.info.model_id!r} generates text and does not make embeddings."
                f" {self._advice('makes embeddings', makes_embeddings=True)}",
                param="model",
            )
        return model

    def _advice(self, words: str, *, makes_embeddings: bool) -> str:
        names = [m.info.model_id for m in self if m.makes_embeddings == makes_embeddings]
        if names:
            return f"The model that {words} here: {', '.join(names)}."
        setting = "LLM_EMBEDDING_MODEL_ID" if makes_embeddings else "LLM_MODEL_ID"
        return f"Start the service with {setting} to serve one that {words}."

    def not_ready_reason(self) -> str | None:
        """Why requests are not answered now; None if every model accepts requests."""
        if not self._by_name:
            return self.reason
        reasons = (model.not_ready_reason() for model in self)
        return next((reason for reason in reasons if reason is not None), None)
