"""The rows of `parameter_table` about the Responses and Messages APIs.

They have the fields of OpenAI's and Anthropic's clients, and those that callers may know from
chat completions. Tools and items of unknown types are skipped, not refused: see `translation`.
"""

from collections.abc import Iterator
from typing import Any

from llm_service.api.parameter import Endpoints, Parameter, Treatment

RESPONSES: Endpoints = ("responses",)
MESSAGES: Endpoints = ("messages",)
COUNT: Endpoints = ("count_tokens",)
MESSAGES_AND_COUNT: Endpoints = ("messages", "count_tokens")


def _served(on: Endpoints, names: str, words: str) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.SERVED, words) for name in names.split())


def _no_effect(on: Endpoints, names: str, words: str) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.NO_EFFECT, words) for name in names.split())


def _refused(on: Endpoints, names: str, words: str, *accepted: Any) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.REFUSED, words, accepted) for name in names.split())


_IDENTIFIES = (
    "Identifies the caller or the request for other services; this service does not use it."
)
_CACHE = "`LLM_PREFIX_CACHE` caches prompts, separately for each key."
_QUEUE = "All requests wait in the same queue."
_CUT = "Prompts are never cut or summarized."
_CHAT = "use /v1/chat/completions, which has it."

RESPONSES_ROWS = (
    *_served(RESPONSES, "model", "The model to use; `GET /v1/models` lists it."),
    *_served(
        RESPONSES,
        "input",
        "A text, or a list of items: messages, reasoning, function_call, function_call_output,"
        " custom_tool_call and custom_tool_call_output. Parts have the types input_text and, for"
        " models that see, input_image with `image_url` and `detail`, as at chat completions."
        " Other items are skipped and named in the header `X-Skipped`.",
    ),
    *_served(
        RESPONSES,
        "instructions",
        "The system message. System and developer messages at the"
        " start of `input` are added to it.",
    ),
    *_served(RESPONSES, "stream", "Send the answer as server-sent events."),
    *_served(RESPONSES, "max_output_tokens", "Longest answer in tokens, with its reasoning."),
    *_served(RESPONSES, "temperature top_p", "As at chat completions."),
    *_served(RESPONSES, "presence_penalty frequency_penalty", "-2 to 2."),
    *_served(
        RESPONSES,
        "tools",
        "Tools of the type `function`, also those of an item of the type `additional_tools`. Others"
        " are skipped and named in the header `X-Skipped`.",
    ),
    *_served(RESPONSES, "tool_choice", "`auto`, `none`, `required`, or `{type: function, name}`."),
    *_served(RESPONSES, "parallel_tool_calls", "False: at most one call in an answer."),
    *_served(
        RESPONSES, "text.format", "`{type: text}`, `{type: json_object}` or `{type: json_schema}`."
    ),
    *_served(RESPONSES, "reasoning.effort", "As `reasoning_effort` at chat completions."),
    *_served(
        RESPONSES,
        "reasoning.summary reasoning.generate_summary",
        "Send the reasoning as its summary, too; it is not summarized.",
    ),
    *_served(
        RESPONSES,
        "include",
        "Accepted, without `message.output_text.logprobs`: reasoning is sent as text, not"
        " encrypted, and the other values are about tools of OpenAI.",
    ),
    *_served(
        RESPONSES,
        "metadata prompt_cache_key safety_identifier truncation user text.verbosity",
        "Sent back in the answer, and otherwise without effect.",
    ),
    *_no_effect(RESPONSES, "store", "Answers are never stored."),
    *_no_effect(RESPONSES, "client_metadata access_programs", _IDENTIFIES),
    *_no_effect(RESPONSES, "prompt_cache_retention prompt_cache_options", _CACHE),
    *_no_effect(RESPONSES, "service_tier", _QUEUE),
    *_no_effect(RESPONSES, "context_management", _CUT),
    *_no_effect(RESPONSES, "max_tool_calls image", "Matters only with tools of OpenAI."),
    *_no_effect(RESPONSES, "stream_options", "Events are not padded."),
    *_no_effect(RESPONSES, "reasoning.context reasoning.mode", "The input has the reasoning."),
    *_refused(
        RESPONSES,
        "previous_response_id conversation",
        "answers are not stored; send the whole conversation as input.",
    ),
    *_refused(RESPONSES, "background", "answers are not stored; use stream.", False),
    *_refused(RESPONSES, "prompt", "there are no stored prompts; use instructions and input."),
    *_refused(RESPONSES, "moderation", "there is no moderation model."),
    *_refused(RESPONSES, "top_logprobs", _CHAT, 0),
    *_refused(RESPONSES, "messages", "use input."),
    *_refused(RESPONSES, "max_tokens max_completion_tokens", "use max_output_tokens."),
    *_refused(RESPONSES, "reasoning_effort", "use reasoning.effort."),
    *_refused(RESPONSES, "response_format", "use text.format."),
    *_refused(RESPONSES, "n", _CHAT, 1),
    *_refused(RESPONSES, "stop", _CHAT, []),
    *_refused(RESPONSES, "seed top_k min_p repetition_penalty logit_bias", _CHAT),
)

_COUNTED = "As at `/v1/messages`."

MESSAGES_ROWS = (
    *_served(MESSAGES, "model", "The model to use; `GET /v1/models` lists it."),
    *_served(
        MESSAGES,
        "messages",
        "The conversation: text, image, tool_use, tool_result and thinking blocks. Messages of one"
        " role in succession are one turn, and system messages belong to the user's. An image has a"
        " source of the type `base64`, or `url` if `LLM_IMAGE_URLS` allows it. A model that does"
        " not see refuses images; in a tool_result, words replace them. Documents are refused."
        " Other blocks are skipped and named in the header `X-Skipped`. An assistant message at the"
        " end is continued.",
    ),
    *_served(
        MESSAGES,
        "system",
        "The system message, as text or text blocks. A block that begins with"
        " `x-anthropic-billing-header:` is left out, because it would defeat the prefix cache.",
    ),
    *_served(
        MESSAGES,
        "max_tokens",
        "Longest answer in tokens, at least 1; required. If the context has less room, it ends the"
        " answer, with the stop reason `model_context_window_exceeded`.",
    ),
    *_served(MESSAGES, "stream", "Send the answer as server-sent events."),
    *_served(MESSAGES, "stop_sequences", "Up to 16 strings that end the answer."),
    *_served(MESSAGES, "temperature top_p top_k", "As at chat completions."),
    *_served(
        MESSAGES,
        "tools",
        "Tools of the caller. Anthropic's own tools are skipped and named in the header"
        " `X-Skipped`.",
    ),
    *_served(
        MESSAGES,
        "tool_choice",
        "`{type}`: `auto`, `any`, `none`, or `tool` with a `name`; `disable_parallel_tool_use`.",
    ),
    *_served(
        MESSAGES,
        "thinking",
        "`enabled` (with `budget_tokens`) or `adaptive`: the model may reason, and the reasoning is"
        " sent. Otherwise reasoning is turned off, where the model allows it, and never sent.",
    ),
    *_served(MESSAGES, "output_config.effort", "As `reasoning_effort` at chat completions."),
    *_served(
        MESSAGES,
        "output_config.format output_format",
        "`{type: json_schema, schema}`. The answer always fits the schema.",
    ),
    *_served(
        COUNT,
        "model messages system tools tool_choice thinking output_config.effort output_config.format"
        " output_format",
        _COUNTED,
    ),
    *_no_effect(MESSAGES, "metadata user_profile_id workspace_id", _IDENTIFIES),
    *_no_effect(COUNT, "metadata user_profile_id workspace_id", _IDENTIFIES),
    *_no_effect(MESSAGES_AND_COUNT, "cache_control", _CACHE),
    *_no_effect(MESSAGES_AND_COUNT, "service_tier speed", _QUEUE),
    *_no_effect(MESSAGES_AND_COUNT, "context_management", _CUT),
    *_no_effect(
        MESSAGES_AND_COUNT,
        "inference_geo container mcp_servers diagnostics billing_policy fallbacks"
        " fallback_credit_token",
        "Matters only with servers and tools of Anthropic.",
    ),
    *_no_effect(COUNT, "compaction", _CUT),
    *_no_effect(MESSAGES_AND_COUNT, "output_config.task_budget", "A hint to Anthropic's models."),
    *_no_effect(MESSAGES_AND_COUNT, "betas", "A header of Anthropic's beta client."),
    *_no_effect(MESSAGES_AND_COUNT, "thinking.display", "Thinking is sent as it is."),
    *_no_effect(
        COUNT,
        "max_tokens stream temperature top_p top_k stop_sequences",
        "The prompt does not depend on it.",
    ),
    *_refused(MESSAGES, "max_completion_tokens max_output_tokens", "use max_tokens."),
    *_refused(MESSAGES, "stop", "use stop_sequences.", []),
    *_refused(MESSAGES, "prompt", "send messages."),
    *_refused(MESSAGES, "thread", "answers are not stored; send the whole conversation."),
    *_refused(MESSAGES, "compaction", "conversations are not summarized; ask for it in a message."),
    *_refused(MESSAGES, "response_format", "use output_config.format."),
    *_refused(MESSAGES, "reasoning_effort", "use output_config.effort."),
    *_refused(MESSAGES, "n", _CHAT, 1),
    *_refused(
        MESSAGES,
        "seed min_p repetition_penalty logit_bias logprobs presence_penalty frequency_penalty",
        _CHAT,
    ),
)
