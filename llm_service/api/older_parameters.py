"""The rows of `parameter_table` about `/generate` and Ollama's routes."""

from collections.abc import Iterator
from typing import Any

from llm_service.api.parameter import Endpoints, Parameter, Treatment

GENERATE: Endpoints = ("generate",)
OLLAMA_CHAT: Endpoints = ("ollama_chat",)
OLLAMA_GENERATE: Endpoints = ("ollama_generate",)
OLLAMA: Endpoints = (*OLLAMA_CHAT, *OLLAMA_GENERATE)
OLLAMA_EMBED: Endpoints = ("ollama_embed",)
OLLAMA_EMBEDDINGS: Endpoints = ("ollama_embeddings",)
EMBED: Endpoints = (*OLLAMA_EMBED, *OLLAMA_EMBEDDINGS)


def _served(names: str, words: str, on: Endpoints) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.SERVED, words) for name in names.split())


def _no_effect(names: str, words: str, on: Endpoints) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.NO_EFFECT, words) for name in names.split())


def _refused(names: str, words: str, *accepted: Any, on: Endpoints) -> Iterator[Parameter]:
    return (Parameter(name, on, Treatment.REFUSED, words, accepted) for name in names.split())


_OPENAI = "use the routes below /v1."
_SHAPE = "the answer has no such part."
_SAMPLER = "this sampler does not exist here; use temperature, top_p, top_k or min_p."
_CUT = "prompts are never cut; shorten the prompt."
_ADAPTER = "the model has no adapters."
_TEMPLATE = "the prompt is always written by the model's own chat template."

OLDER_ROWS = (
    *_served("model", "The model to use; by default the first one.", GENERATE),
    *_served("prompt", "The text to continue.", GENERATE),
    *_served("max_tokens", "Longest answer in tokens; 100 by default.", GENERATE),
    *_served("temperature top_p top_k seed stop", "As on completions.", GENERATE),
    *_served("inputs", "TGI's name for `prompt`; its `parameters` count then.", GENERATE),
    *_served(
        "parameters",
        "With `inputs`: `max_new_tokens`, `temperature`, `top_p`, `top_k`, `repetition_penalty`,"
        " `frequency_penalty`, `seed`, `stop`, `do_sample` and `return_full_text`.",
        GENERATE,
    ),
    *_refused("stream", "use /v1/completions.", False, on=GENERATE),
    *_refused("n best_of parameters.best_of", "use /v1/completions.", 1, on=GENERATE),
    *_refused("logprobs echo", "use /v1/completions.", False, on=GENERATE),
    *_refused("sampling_params", "send its fields at the top level.", {}, on=GENERATE),
    *_refused(
        "parameters.details parameters.decoder_input_details parameters.watermark",
        _SHAPE,
        False,
        on=GENERATE,
    ),
    *_refused("parameters.top_n_tokens", "use logprobs on /v1/completions.", 0, on=GENERATE),
    *_refused("parameters.typical_p", _SAMPLER, 1, on=GENERATE),
    *_refused("parameters.truncate", _CUT, on=GENERATE),
    *_refused("parameters.grammar", "use structured_outputs on /v1/completions.", on=GENERATE),
    *_refused("parameters.adapter_id", _ADAPTER, "", on=GENERATE),
    *_served("model", "The model to use; `GET /api/tags` lists it.", OLLAMA),
    *_served(
        "messages",
        "The conversation; without one, the model counts as loaded.",
        OLLAMA_CHAT,
    ),
    *_served("tools", "Functions that the model may call.", OLLAMA_CHAT),
    *_served(
        "prompt",
        "A user's message, or plain text with `raw` or `suffix`.",
        OLLAMA_GENERATE,
    ),
    *_served("images", "Images in base64, for models that see.", OLLAMA_GENERATE),
    *_served("messages.images", "Images in base64, for models that see.", OLLAMA_CHAT),
    *_served("system", "The system message.", OLLAMA_GENERATE),
    *_served("suffix", "The text after the answer, as on completions.", OLLAMA_GENERATE),
    *_served("raw", "Continue `prompt` without the chat template.", OLLAMA_GENERATE),
    *_served("stream", "Send the answer as lines of JSON; true by default.", OLLAMA),
    *_served("format", "`json`, or a JSON schema that the answer has to fit.", OLLAMA),
    *_served("think", "Whether to reason: true, false, `low`, `medium` or `high`.", OLLAMA),
    *_served("options", "An object with the fields below.", OLLAMA),
    *_served("options.num_predict", "As `max_tokens`; -1 and -2: no limit.", OLLAMA),
    *_served("options.repeat_penalty", "As `repetition_penalty`.", OLLAMA),
    *_served(
        "options.temperature options.top_p options.top_k options.min_p options.seed options.stop"
        " options.presence_penalty options.frequency_penalty",
        "As on completions.",
        OLLAMA,
    ),
    *_no_effect("keep_alive", "The model stays loaded.", (*OLLAMA, *EMBED)),
    *_no_effect("truncate shift", "Prompts are never cut.", OLLAMA),
    *_no_effect(
        "options.num_ctx options.num_keep",
        "The model sets the context; prompts are never cut.",
        OLLAMA,
    ),
    *_no_effect(
        "options.numa options.num_batch options.num_gpu options.main_gpu options.low_vram"
        " options.f16_kv options.logits_all options.vocab_only options.use_mmap options.use_mlock"
        " options.num_thread options.embedding_only",
        "The operator decides how the model is computed.",
        (*OLLAMA, *EMBED),
    ),
    *_no_effect(
        "options.mirostat_tau options.mirostat_eta", "Matters only with `mirostat`.", OLLAMA
    ),
    *_refused("template", _TEMPLATE, "", on=OLLAMA),
    *_refused("context", "send the whole conversation to /api/chat.", [], on=OLLAMA_GENERATE),
    *_refused("logprobs", _OPENAI, False, on=OLLAMA),
    *_refused("top_logprobs", _OPENAI, 0, on=OLLAMA),
    *_refused("width height steps", "this model answers in text.", 0, on=OLLAMA_GENERATE),
    *_refused("options.mirostat", _SAMPLER, 0, on=OLLAMA),
    *_refused("options.tfs_z options.typical_p", _SAMPLER, 1, on=OLLAMA),
    *_refused("options.repeat_last_n", "penalties count the whole answer.", -1, 64, on=OLLAMA),
    *_refused("options.penalize_newline", "penalties count every token.", True, on=OLLAMA),
    *_served("model", "The model that makes the embeddings.", EMBED),
    *_served(
        "input",
        "A text, or a list of up to 2,048; without one, the model counts as loaded.",
        OLLAMA_EMBED,
    ),
    *_served("prompt", "A text; without one, the model counts as loaded.", OLLAMA_EMBEDDINGS),
    *_served(
        "truncate",
        "Cut longer texts at their end to the longest that the model reads; true by default."
        " False: they are refused.",
        EMBED,
    ),
    *_served("dimensions", "As on embeddings.", EMBED),
    *_served("options", "An object; no option has an effect on embeddings.", EMBED),
    *_no_effect("options.num_ctx", "The model sets the longest text.", EMBED),
    *_no_effect(
        "options.num_predict options.num_keep options.seed options.stop options.temperature"
        " options.top_k options.top_p options.min_p options.tfs_z options.typical_p"
        " options.repeat_last_n options.repeat_penalty options.presence_penalty"
        " options.frequency_penalty options.penalize_newline options.mirostat"
        " options.mirostat_tau options.mirostat_eta",
        "No text is generated.",
        EMBED,
    ),
    *_refused("prompt", "use input.", "", on=OLLAMA_EMBED),
    *_refused("input", "use prompt.", "", [], on=OLLAMA_EMBEDDINGS),
    *_refused("encoding_format prompt_name", "use /v1/embeddings.", on=EMBED),
    *_refused("stream", "embeddings are sent in one piece.", False, on=EMBED),
)
