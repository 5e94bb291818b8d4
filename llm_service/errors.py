"""Every error that a caller can meet. Imports nothing of the project.

    ServiceError
     ├─ InvalidRequest            400  the body or a parameter is wrong
     │   ├─ UnsupportedParameter  400  understood, but not offered here
     │   └─ ContextLengthExceeded 400  prompt and answer do not fit the model
     ├─ AuthenticationFailed      401  no key, or not one of ours
     ├─ PermissionDenied          403  the key lacks the scope
     ├─ NotFound                  404  no such route or thing
     │   └─ ModelNotFound         404  not a model served here
     ├─ MethodNotAllowed          405
     ├─ RequestTimeout            408  the headers or the body came too slowly
     ├─ Conflict                  409  the thing is not in a state that allows it
     ├─ BodyTooLarge              413
     ├─ UriTooLong                414
     ├─ UnsupportedMediaType      415  the body is compressed
     ├─ RateLimited               429  the key or the address has spent its limit
     ├─ HeadersTooLarge           431
     ├─ RequestCancelled          499  the caller left
     │   └─ CancelledByOperator   499  an operator cancelled it
     ├─ EngineFailed              500  the engine failed while this was in flight
     │   └─ OutOfMemory           500  because memory could not be allocated
     └─ Unavailable               503  the engine is not ready
         ├─ NotLoaded             503  nor has it been: the model loads
         ├─ Overloaded            503  the queue is full: try again later
         │   ├─ BodyMemoryFull    503  too many large bodies are held at once
         │   ├─ ImageMemoryFull   503  too many images are held at once
         │   └─ TooManyConnections 503 of this address, or in all
         └─ DeadlineExceeded      503  it took longer than LLM_REQUEST_TIMEOUT_SECONDS

`status` is the HTTP status, `type` and `code` are OpenAI's envelope fields.
`kind` is the label of `llm_request_errors_total`.
"""

from typing import ClassVar


class ServiceError(Exception):
    """An error with a message for the caller, and `retry_after` (seconds) if waiting helps."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "internal"

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def envelope(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error body."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class InvalidRequest(ServiceError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    kind = "validation"


class UnsupportedParameter(InvalidRequest):
    code = "unsupported_parameter"


class ContextLengthExceeded(InvalidRequest):
    """Make it with `of_prompt` or `of_request`: client libraries know it by their first words."""

    code = "context_length_exceeded"
    kind = "context_length"
    prompt_and_context: tuple[int, int] | None = None  # tokens, if the prompt alone is too long

    @classmethod
    def of_prompt(
        cls, max_context: int, num_tokens: int, *, param: str = "prompt", is_counted: bool = True
    ) -> "ContextLengthExceeded":
        """The prompt alone is too long; `param` is the field that holds it.

        Not counted: it has at least `num_tokens`.
        """
        number = num_tokens if is_counted else f"at least {num_tokens}"
        error = cls(
            f"This model's maximum context length is {max_context} tokens. However, your {param}"
            f" resulted in {number} tokens, and the answer needs at least one."
            f" Please reduce the length of the {param}.",
            param=param,
        )
        error.prompt_and_context = (num_tokens, max_context)
        return error

    @classmethod
    def of_input(
        cls,
        max_context: int,
        num_tokens: int,
        *,
        param: str = "input",
        cut_by: str = "truncate_prompt_tokens",
        is_counted: bool = True,
    ) -> "ContextLengthExceeded":
        """An input of an embedding is too long. Not counted: it has at least `num_tokens`.

        `param` is the field with the input, `cut_by` the one that lets it be cut.
        """
        number = num_tokens if is_counted else f"at least {num_tokens}"
        return cls(
            f"This model's maximum context length is {max_context} tokens. However, your {param}"
            f" has {number} tokens. Split it into shorter inputs, or set {cut_by} to cut it.",
            param=param,
        )

    @classmethod
    def of_request(
        cls, max_context: int, num_tokens: int, requested: int, *, prompt_param: str, param: str
    ) -> "ContextLengthExceeded":
        """The prompt fits, but not with the `requested` tokens that the field `param` asks for."""
        return cls(
            f"This model's maximum context length is {max_context} tokens. However, you requested"
            f" {num_tokens + requested} tokens ({num_tokens} in the {prompt_param}, {requested} in"
            f" the completion). Please reduce the length of the {prompt_param} or {param}.",
            param=param,
        )


class AuthenticationFailed(ServiceError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"
    kind = "validation"


class PermissionDenied(ServiceError):
    status = 403
    type = "permission_error"
    code = "insufficient_scope"
    kind = "validation"


class NotFound(ServiceError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"
    kind = "validation"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(ServiceError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"
    kind = "validation"


class RequestTimeout(ServiceError):
    status = 408
    type = "invalid_request_error"
    code = "request_timeout"
    kind = "validation"


class Conflict(ServiceError):
    status = 409
    type = "invalid_request_error"
    code = "conflict"
    kind = "validation"


class BodyTooLarge(ServiceError):
    status = 413
    type = "invalid_request_error"
    code = "body_too_large"
    kind = "validation"


class UriTooLong(ServiceError):
    status = 414
    type = "invalid_request_error"
    code = "uri_too_long"
    kind = "validation"


class UnsupportedMediaType(ServiceError):
    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"
    kind = "validation"


class HeadersTooLarge(ServiceError):
    status = 431
    type = "invalid_request_error"
    code = "headers_too_large"
    kind = "validation"


class RateLimited(ServiceError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    kind = "rate_limit"


class RequestCancelled(ServiceError):
    status = 499
    type = "invalid_request_error"
    code = "request_cancelled"
    kind = "validation"


class CancelledByOperator(RequestCancelled):
    """Uses a status that clients do not retry, because a retry would undo the cancellation."""

    type = "request_cancelled_error"
    code = "cancelled_by_operator"


class EngineFailed(ServiceError):
    code = "engine_failed"
    kind = "backend"


class OutOfMemory(EngineFailed):
    kind = "oom"


class Unavailable(ServiceError):
    status = 503
    type = "service_unavailable_error"
    code = "engine_unavailable"
    kind = "backend"


class NotLoaded(Unavailable):
    kind = "loading"


class Overloaded(Unavailable):
    code = "queue_full"
    kind = "overloaded"


class BodyMemoryFull(Overloaded):
    code = "body_memory_full"


class ImageMemoryFull(Overloaded):
    code = "image_memory_full"


class TooManyConnections(Overloaded):
    code = "too_many_connections"


class DeadlineExceeded(Unavailable):
    code = "deadline_exceeded"
    kind = "deadline"
