"""The one list of known request fields, and how the service treats each of them.

A field is served, accepted because it cannot change the answer, or refused by name. Fields that
are served are also in the request's schema (`schemas.py`). The list has the fields of OpenAI's API
and of other servers whose clients may call this one: vLLM, llama.cpp, SGLang, TGI and Ollama.

The rows of the Responses and Messages APIs are in `protocol_parameters.py`, those of Ollama's and
older routes in `older_parameters.py`. docs/parameters.md is written from this list by
`scripts/parameters.py`.
"""

from collections.abc import Iterator
from typing import Any

from llm_service.api.older_parameters import OLDER_ROWS
from llm_service.api.parameter import Endpoints, Parameter, Treatment
from llm_service.api.protocol_parameters import MESSAGES_ROWS, RESPONSES_ROWS

BOTH: Endpoints = ("chat", "completions")
CHAT: Endpoints = ("chat",)
COMPLETIONS: Endpoints = ("completions",)
EMBEDDINGS: Endpoints = ("embeddings",)
TOKENIZE: Endpoints = ("tokenize",)
CHAT_AND_TOKENIZE: Endpoints = ("chat", "tokenize")
DETOKENIZE: Endpoints = ("detokenize",)


def _served(names: str, words: str, on: Endpoints = BOTH) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.SERVED, words) for name in names.split())


def _no_effect(names: str, words: str, on: Endpoints = BOTH) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.NO_EFFECT, words) for name in names.split())


def _refused(names: str, words: str, *accepted: Any, on: Endpoints = BOTH) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.REFUSED, words, accepted) for name in names.split())


_SERVED = (
    *_served("model", "The model to use; `GET /v1/models` lists it."),
    *_served(
        "messages",
        "The conversation. Its content is text, or parts of the types `text` and `image_url`, for"
        " models that see: `{url, detail}`, where `url` is a data URL, or an https URL if"
        " `LLM_IMAGE_URLS` allows it. `detail` `low` scales images down to 512 x 512 pixels in"
        " all, `auto` (default) to 768 x 768, `high` to a million pixels.",
        CHAT,
    ),
    *_served(
        "messages.image messages.images",
        "Another way to send images before the content: data URLs, base64, https URLs, or links in"
        " Markdown to one of these.",
        CHAT_AND_TOKENIZE,
    ),
    *_served(
        "prompt",
        "Text or token ids, or a list of either. Prompts times `n`: at most 128.",
        COMPLETIONS,
    ),
    *_served(
        "max_tokens",
        "Longest answer in tokens, at least 1. By default, chat answers may fill the context, and"
        " completions end after 16 tokens.",
    ),
    *_served("max_completion_tokens", "Another name for `max_tokens`; it has priority.", CHAT),
    *_served("min_tokens", "The answer does not end before it has this many tokens."),
    *_served("n", "Number of answers to each prompt, 1 to 128."),
    *_served(
        "best_of",
        "Generate so many answers and send the `n` that have the highest log probability per token;"
        " not with `stream`.",
        COMPLETIONS,
    ),
    *_served(
        "echo",
        "The answer begins with the prompt; with `logprobs`, it has the log probabilities of the"
        " prompt's tokens, the first of which is null, and of an end-of-sequence token."
        " `max_tokens` may be 0 then.",
        COMPLETIONS,
    ),
    *_served(
        "suffix",
        "The text after the answer, for models with tokens for filling in the middle.",
        COMPLETIONS,
    ),
    *_served("stream", "Send the answer as server-sent events."),
    *_served("stream_options.include_usage", "End the stream with an event that has the usage."),
    *_served("temperature", "0 to 2; 0 selects the most likely token."),
    *_served("top_p", "0 to 1; 0 selects the most likely token."),
    *_served("top_k", "Sample from this many of the most likely tokens; 0 or -1: from all."),
    *_served(
        "min_p",
        "0 to 1: exclude tokens whose probability is below this share of the highest one.",
    ),
    *_served("seed", "Makes the answer reproducible. Each of `n` answers has its own seed."),
    *_served(
        "stop",
        "A string, or a list of up to 16, that ends the answer and is not part of it."
        " Empty strings are ignored.",
    ),
    *_served("stop_token_ids", "Up to 64 token ids that end the answer."),
    *_served("ignore_eos", "Continue after the model's end-of-sequence token."),
    *_served(
        "presence_penalty frequency_penalty",
        "-2 to 2. The presence penalty applies once to each token that has occurred; the frequency"
        " penalty grows with each repetition.",
    ),
    *_served("repetition_penalty", "Above 0, at most 10; 1 has no effect."),
    *_served("logit_bias", "-100 to 100, added to the logits of up to 1,024 token ids."),
    *_served("logprobs", "Whether to send the log probability of each token.", CHAT),
    *_served("top_logprobs", "0 to 20 alternatives to each token; needs `logprobs`.", CHAT),
    *_served(
        "logprobs",
        "0 to 5 alternatives to each token; the chosen token is always included.",
        COMPLETIONS,
    ),
    *_served(
        "tools",
        "Up to 128 functions that the model may call: `{type: function, function: {name,"
        " description, parameters, strict}}`.",
        CHAT_AND_TOKENIZE,
    ),
    *_served("functions", "The older form of `tools`.", CHAT_AND_TOKENIZE),
    *_served(
        "tool_choice",
        "`auto`, `none`, `required`, or `{type: function, function: {name}}`. A required or named"
        " call is guaranteed.",
        CHAT_AND_TOKENIZE,
    ),
    *_served("function_call", "The older form of `tool_choice`.", CHAT_AND_TOKENIZE),
    *_served("parallel_tool_calls", "False: at most one call in an answer.", CHAT),
    *_served(
        "response_format",
        "`{type: text}`, `{type: json_object}` or `{type: json_schema, json_schema: {name,"
        " schema}}`. The answer always fits the schema.",
    ),
    *_served(
        "structured_outputs",
        "One of `json`, `json_object`, `regex`, `choice` and `grammar`, as at vLLM.",
    ),
    *_served(
        "guided_json guided_regex guided_choice guided_grammar",
        "The older fields for the same.",
    ),
    *_served("json_schema", "A JSON schema that the answer has to fit, as at llama.cpp."),
    *_served("grammar", "A grammar that the answer has to fit: Lark, or GBNF of up to 500 rules."),
    *_served(
        "reasoning_effort",
        "Told to the chat template; `none` turns reasoning off where the model allows it.",
        CHAT_AND_TOKENIZE,
    ),
    *_served(
        "enable_thinking chat_template_kwargs",
        "Variables of the chat template: numbers, true, false and plain words.",
        CHAT_AND_TOKENIZE,
    ),
    *_served(
        "max_reasoning_tokens",
        "Reasoning ends after this many tokens; `LLM_MAX_REASONING_TOKENS` is the default.",
        CHAT,
    ),
    *_served(
        "continue_final_message",
        "Continue the last message, which has to be the assistant's.",
        CHAT_AND_TOKENIZE,
    ),
    *_served(
        "add_generation_prompt",
        "False: the prompt ends after the last message, without the beginning of an answer.",
        CHAT_AND_TOKENIZE,
    ),
    *_served("model", "The model that makes the embeddings.", EMBEDDINGS),
    *_served(
        "input",
        "A text, token ids, or a list of up to 2,048 of one of these. Token ids are taken as they"
        " are: they get no prompt and no special tokens.",
        EMBEDDINGS,
    ),
    *_served(
        "encoding_format", "`float` (default), or `base64`: float32, little-endian.", EMBEDDINGS
    ),
    *_served(
        "dimensions",
        "Keep this many of the first numbers, scaled to length 1 again. Useful with models that"
        " were trained for it.",
        EMBEDDINGS,
    ),
    *_served(
        "prompt_name",
        "The prompt of the model's `config_sentence_transformers.json` to put before each text;"
        " default: the one that it names.",
        EMBEDDINGS,
    ),
    *_served(
        "truncate_prompt_tokens",
        "Cut longer inputs at their end to this many tokens; -1: to the longest that the model"
        " reads. Without it they are refused.",
        EMBEDDINGS,
    ),
    *_served("model", "The model whose tokens are counted.", TOKENIZE),
    *_served("prompt", "The text to count.", TOKENIZE),
    *_served(
        "messages",
        "A conversation to count, formatted by the chat template. An image counts as the tokens"
        " that it becomes, which all have the id of its placeholder.",
        TOKENIZE,
    ),
    *_served("model", "The model that the token ids belong to.", DETOKENIZE),
    *_served("tokens", "The token ids to turn into text.", DETOKENIZE),
)

_NO_EFFECT = (
    *_no_effect("messages.annotations", "The text of the message already has them.", CHAT),
    *_no_effect(
        "user metadata safety_identifier request_id rid",
        "Identifies the caller or the request for other services; this service does not use it.",
        EMBEDDINGS,
    ),
    *_no_effect("service_tier priority", "All requests wait in the same queue.", EMBEDDINGS),
    *_no_effect("keep_alive", "The model stays loaded.", EMBEDDINGS),
    *_no_effect("stream_interval", "An event is sent as soon as there are tokens."),
    *_no_effect("session_id", "Every request carries its whole conversation."),
    *_no_effect("truncation_side", "Matters only with `truncate_prompt_tokens`."),
    *_no_effect("ec_transfer_params task", "Matters only where several servers share the work."),
    *_no_effect(
        "user metadata safety_identifier user_security_context request_id rid",
        "Identifies the caller or the request for other services; this service does not use it.",
    ),
    *_no_effect("store", "Answers are never stored."),
    *_no_effect("service_tier priority", "All requests wait in the same queue."),
    *_no_effect(
        "prompt_cache_key prompt_cache_retention prompt_cache_options cache_prompt id_slot"
        " n_cache_reuse",
        "`LLM_PREFIX_CACHE` caches prompts, separately for each key.",
    ),
    *_no_effect("keep_alive", "The model stays loaded."),
    *_no_effect("num_ctx n_keep n_discard", "The model sets the context; prompts are never cut."),
    *_no_effect("prediction backend_sampling", "Changes only the speed, not the answer."),
    *_no_effect("parse_tool_calls", "Calls are always parsed."),
    *_no_effect("parallel_tool_calls", "Matters only with tools.", COMPLETIONS),
    *_no_effect("stream_options.include_obfuscation", "Events are not padded."),
    *_no_effect("timings_per_token return_progress", "The header `Server-Timing` has the times."),
    *_no_effect("mirostat_tau mirostat_eta", "Matters only with `mirostat`."),
    *_no_effect("dynatemp_exponent", "Matters only with `dynatemp_range`."),
    *_no_effect("xtc_threshold", "Matters only with `xtc_probability`."),
    *_no_effect(
        "dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers",
        "Matters only with `dry_multiplier`.",
    ),
    *_no_effect("smoothing_curve", "Matters only with `smoothing_factor`."),
    *_no_effect("length_penalty early_stopping", "Matters only with beam search."),
    *_no_effect(
        "guided_decoding_backend guided_whitespace_pattern grammar_lazy grammar_triggers"
        " preserved_tokens",
        "The service decides how an answer is constrained.",
    ),
)

_TEMPLATE = "the prompt is always written by the model's own chat template."
_REASONING_OUTPUT = "reasoning is always sent apart from the answer, as reasoning_content."
_NO_TOOLS = "use /v1/chat/completions."
_NO_TEMPLATE = "this endpoint does not use the chat template."
_SAMPLER = "this sampler does not exist here; use temperature, top_p, top_k or min_p."
_CUT = "prompts are never cut; shorten the prompt."
_SHAPE = "the answer has no such part."
_ADAPTER = "the model has no adapters."
_SYSTEM = "send it as a message with the role system."
_CODE = "requests cannot contain code or its parameters."
_SPECIAL = "the model's special tokens are always added to a text."

_REFUSED = (
    # Planned
    *_refused("tools functions", _NO_TOOLS, [], on=COMPLETIONS),
    *_refused("tool_choice function_call", _NO_TOOLS, "none", "auto", on=COMPLETIONS),
    *_refused("tool_prompt guideline", _NO_TOOLS, ""),
    *_refused("format regex ebnf", "use response_format or structured_outputs.", ""),
    *_refused("structural_tag", "use tools, or a grammar in structured_outputs."),
    *_refused("chat_template template", _TEMPLATE, ""),
    *_refused("template_kwargs", "use chat_template_kwargs.", {}, on=CHAT),
    *_refused("chat_template_kwargs template_kwargs", _NO_TEMPLATE, {}, on=COMPLETIONS),
    *_refused("documents data_sources plugins", "send them as text in a message.", []),
    *_refused("add_generation_prompt", _NO_TEMPLATE, True, on=COMPLETIONS),
    *_refused("continue_final_message", _NO_TEMPLATE, False, on=COMPLETIONS),
    *_refused("messages.prefix messages.partial", "use continue_final_message.", False, on=CHAT),
    *_refused("messages.audio", "this model takes no audio.", [], on=CHAT),
    *_refused(
        "messages.thinking messages.refusal",
        "the model's chat template would not see it; put it into content or leave it out.",
        "",
        on=CHAT,
    ),
    *_refused("verbosity", "ask for short or long answers in a message.", "medium"),
    *_refused("reasoning_effort enable_thinking", _NO_TEMPLATE, on=COMPLETIONS),
    *_refused("max_reasoning_tokens", _NO_TEMPLATE, on=COMPLETIONS),
    *_refused(
        "think thinking reasoning prompt_mode",
        "use reasoning_effort, or enable_thinking in chat_template_kwargs.",
    ),
    *_refused(
        "thinking_budget thinking_token_budget thinking_budget_tokens reasoning_budget",
        "use max_reasoning_tokens.",
        -1,
    ),
    *_refused("include_reasoning separate_reasoning stream_reasoning", _REASONING_OUTPUT, True),
    *_refused("reasoning_format", _REASONING_OUTPUT, "auto", "deepseek", "parsed"),
    *_refused("thinking_forced_open reasoning_in_content", _REASONING_OUTPUT, False),
    *_refused("modalities", "this model answers in text.", ["text"]),
    *_refused("audio", "this model answers in text."),
    *_refused(
        "images image_data multimodal_data",
        "send images as parts of messages, of the type image_url.",
        [],
        {},
    ),
    *_refused("mm_processor_kwargs media_io_kwargs", "use detail of image_url.", [], {}),
    *_refused("web_search_options", "the service does not search the web."),
    *_refused("moderation", "there is no moderation model."),
    *_refused("safe_prompt", _SYSTEM, False),
    # Other names for supported fields
    *_refused("prompt", "send messages, or use /v1/completions.", on=CHAT),
    *_refused("messages", "send prompt, or use /v1/chat/completions.", on=COMPLETIONS),
    *_refused("input inputs", "send messages (chat) or prompt (completions)."),
    *_refused("system instructions", _SYSTEM, ""),
    *_refused("max_completion_tokens", "use max_tokens.", on=COMPLETIONS),
    *_refused(
        "max_new_tokens n_predict num_predict max_output_tokens max_tokens_to_sample",
        "use max_tokens.",
        -1,
    ),
    *_refused("stop_sequences", "use stop.", []),
    *_refused("random_seed", "use seed."),
    *_refused("repeat_penalty", "use repetition_penalty.", 1),
    *_refused("n_cmpl num_return_sequences", "use n.", 1),
    *_refused("n_probs top_n_tokens", "use logprobs.", 0),
    *_refused("top_logprobs", "logprobs is the number of alternatives.", on=COMPLETIONS),
    *_refused("return_logprob", "use logprobs.", False),
    *_refused("do_sample", "temperature 0 selects the most likely token.", True),
    *_refused("ban_eos_token", "use ignore_eos or min_tokens.", False),
    *_refused(
        "options parameters sampling_params extra_body", "send its fields at the top level.", {}
    ),
    *_refused("best_of", "use n.", 1, on=CHAT),
    # Search and sampling
    *_refused("use_beam_search", "beam search is not offered.", False),
    *_refused("num_beams num_beam_groups", "beam search is not offered.", 1),
    *_refused("bad_words bad_words_ids", "use logit_bias with -100.", []),
    *_refused("allowed_token_ids", "use logit_bias."),
    *_refused("logits_processors", _CODE, []),
    *_refused("custom_logit_processor", _CODE, ""),
    *_refused("custom_params vllm_xargs session_params", _CODE, {}),
    *_refused("typical_p typ_p tfs_z", _SAMPLER, 1),
    *_refused("top_a epsilon_cutoff eta_cutoff penalty_alpha smoothing_factor", _SAMPLER, 0),
    *_refused("mirostat dynatemp_range xtc_probability dry_multiplier", _SAMPLER, 0),
    *_refused("top_n_sigma", _SAMPLER, -1, 0),
    *_refused("min_keep", _SAMPLER, 0, 1),
    *_refused("samplers", "the order of samplers is fixed."),
    *_refused("repeat_last_n", "penalties count the whole answer.", -1, 64),
    *_refused("penalize_nl", "penalties count every token.", False),
    *_refused("no_repeat_ngram_size", "use repetition_penalty.", 0),
    *_refused("guidance_scale encoder_repetition_penalty", _SAMPLER, 1),
    *_refused("negative_prompt", _SAMPLER, ""),
    *_refused("watermark", "answers carry no watermark.", False),
    *_refused("watermarking", "answers carry no watermark.", {}),
    *_refused("repetition_detection", "use max_tokens or repetition_penalty.", {}),
    # The end of an answer, and its special tokens
    *_refused(
        "include_stop_str_in_output no_stop_trim", "answers never include the stop string.", False
    ),
    *_refused("stop_regex", "use stop.", "", []),
    *_refused("t_max_predict_ms t_max_prompt_ms", "use max_tokens.", -1, 0),
    *_refused("n_indent", "use min_tokens or stop.", 0),
    *_refused("skip_special_tokens", "special tokens are left out of the text.", True),
    *_refused("spaces_between_special_tokens", "special tokens are left out of the text.", True),
    # The prompt that the model sees
    *_refused("truncate_prompt_tokens truncate", _CUT),
    *_refused("truncation", _CUT, "disabled"),
    *_refused("transforms", _CUT, []),
    *_refused("add_special_tokens", _TEMPLATE, False, on=CHAT),
    *_refused("add_special_tokens", _SPECIAL, True, on=COMPLETIONS),
    *_refused("input_ids", "send messages (chat) or prompt (completions)."),
    *_refused("prompt_embeds input_embeds", "send text or token ids."),
    *_refused("context previous_response_id conversation", "send the whole conversation."),
    *_refused("raw", "use /v1/completions.", False),
    *_refused("suffix", "use /v1/completions.", "", on=CHAT),
    *_refused("echo", "use /v1/completions.", False, on=CHAT),
    *_refused("return_full_text", "use echo at /v1/completions.", False),
    *_refused("lora", _ADAPTER, []),
    *_refused("lora_path adapter_id", _ADAPTER, ""),
    # Other parts of an answer
    *_refused("prompt_logprobs logprob_token_ids", _SHAPE),
    *_refused(
        "return_token_ids return_tokens return_tokens_as_token_ids return_prompt_text"
        " return_prompt_token_ids"
        " return_hidden_states return_cached_tokens_details return_meta_info return_routed_experts"
        " post_sampling_probs"
        " decoder_input_details details stream_options.continuous_usage_stats",
        _SHAPE,
        False,
    ),
    *_refused("response_fields", _SHAPE, []),
    *_refused("cache_salt extra_key", "each key has its own prefix cache; create another key.", ""),
    *_refused("kv_transfer_params", "prefill and decode always run in one process.", {}),
    # Embeddings
    *_refused("input_type task task_type", "use prompt_name.", "", on=EMBEDDINGS),
    *_refused("prompt inputs texts content", "use input.", on=EMBEDDINGS),
    *_refused("messages", "send texts as input.", [], on=EMBEDDINGS),
    *_refused("images image_data", "this model takes text.", [], on=EMBEDDINGS),
    *_refused("truncate", "use truncate_prompt_tokens.", False, "NONE", on=EMBEDDINGS),
    *_refused("truncation_side", "inputs are cut at their end.", "right", on=EMBEDDINGS),
    *_refused(
        "normalize normalize_embeddings embd_normalize",
        "the model's files say whether embeddings have length 1.",
        on=EMBEDDINGS,
    ),
    *_refused("pooling pooling_type", "the model's files name the pooling.", on=EMBEDDINGS),
    *_refused("embed_dtype embedding_types output_dtype", "use encoding_format.", on=EMBEDDINGS),
    *_refused("add_special_tokens", _SPECIAL, True, on=EMBEDDINGS),
    *_refused("stream", "embeddings are sent in one piece.", False, on=EMBEDDINGS),
    # Counting
    *_refused("add_special_tokens", _SPECIAL, True, on=TOKENIZE),
    *_refused("add_special", _SPECIAL, True, on=TOKENIZE),
    *_refused("content", "use prompt.", on=TOKENIZE),
    *_refused("return_token_strs with_pieces", _SHAPE, False, on=TOKENIZE),
    *_refused("parse_special", "control tokens are never parsed from text.", False, on=TOKENIZE),
    *_refused("chat_template", _TEMPLATE, "", on=TOKENIZE),
    *_refused("mm_processor_kwargs", _TEMPLATE, {}, on=TOKENIZE),
)

TABLE: tuple[Parameter, ...] = (
    *_SERVED,
    *_NO_EFFECT,
    *_REFUSED,
    *RESPONSES_ROWS,
    *MESSAGES_ROWS,
    *OLDER_ROWS,
)
