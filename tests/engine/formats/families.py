"""A small vocabulary and a chat template for each family, which write calls as the family does."""

from dataclasses import dataclass
from functools import cache

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from tests.engine import tokenizers

_CHATML = """\
{% if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{% for m in messages %}
{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}
{%- if m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content }}
{{- '\\n</think>\\n\\n' }}{% endif %}
{{- m.content }}
{%- for call in m.tool_calls or [] %}
{{- '\\n' if m.content or not loop.first }}
{%- set call = call.function %}
CALL
{%- endfor %}<|im_end|>
{% elif m.role == 'tool' %}<|im_start|>user
<tool_response>{{ m.content }}</tool_response><|im_end|>
{% else %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""

HERMES = _CHATML.replace(
    "CALL",
    """{{- '<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
{{- call.arguments | tojson }}{{ '}\\n</tool_call>' }}""",
)
COMPACT = HERMES.replace("<tool_call>\\n", "<tool_call>").replace("\\n</tool_call>", "</tool_call>")
THINKING = HERMES.replace(
    "{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}",
)
QWEN_XML = _CHATML.replace(
    "CALL",
    """{{- '<tool_call>\\n<function=' + call.name + '>\\n' }}
{%- for key, value in call.arguments.items() %}{{- '<parameter=' + key + '>\\n' }}
{{- value | tojson if value is mapping or (value is sequence and value is not string) else value }}
{{- '\\n</parameter>\\n' }}{% endfor %}{{- '</function>\\n</tool_call>' }}""",
)
LLAMA = """\
{% if tools %}{{ tools | tojson }}<|eot_id|>{% endif %}
{% for m in messages %}{% if m.tool_calls %}
{% if m.tool_calls | length != 1 %}{{ raise_exception('Only one call.') }}{% endif %}
{% set call = m.tool_calls[0].function %}
{{- '<|im_start|>assistant\\n\\n{"name": "' + call.name + '", "parameters": ' }}
{{- call.arguments | tojson }}{{ '}<|eot_id|>' }}
{%- else %}{{ '<|im_start|>' + m.role + '\\n\\n' + m.content + '<|eot_id|>' }}{% endif %}
{%- endfor %}{# <|python_tag|> #}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n\\n' }}{% endif %}"""
_MISTRAL = """\
{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}
{%- for m in messages %}{% if m.tool_calls %}{{ m.content }}CALLS{{ '</s>' }}
{%- elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]
{%- elif m.role == 'assistant' %}{{ m.content }}</s>
{%- else %}[INST]{{ m.content }}[/INST]{% endif %}{% endfor %}"""
MISTRAL = _MISTRAL.replace(
    "CALLS",
    "{% for call in m.tool_calls %}[TOOL_CALLS]{{ call.function.name }}[ARGS]"
    "{{ call.function.arguments | tojson }}{% endfor %}",
)
_LIST = "[{% for call in m.tool_calls %}{{ call.function | tojson }}{{ ', ' if not loop.last }}"
MISTRAL_LIST = _MISTRAL.replace("CALLS", "[TOOL_CALLS]" + _LIST + "{% endfor %}]")
GRANITE = (
    """\
{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}
{%- for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>
{%- if m.tool_calls %}{{ m.content }}<|tool_call|>"""
    + _LIST
    + """{% endfor %}]
{%- else %}{{ m.content }}{% endif %}<|end_of_text|>
{% endfor %}
{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"""
)
GEMMA = """\
{% macro value(v) %}
{%- if v is string %}{{ '<|"|>' + v + '<|"|>' }}
{%- elif v is boolean %}{{ 'true' if v else 'false' }}
{%- elif v is mapping %}{% raw %}{{% endraw %}
{%- for key, each in v | dictsort %}{{ ',' if not loop.first }}{{ key }}:{{ value(each) }}
{%- endfor %}}
{%- elif v is sequence %}[
{%- for each in v %}{{ ',' if not loop.first }}{{ value(each) }}{% endfor %}]
{%- else %}{{ v | tojson }}{% endif %}
{%- endmacro %}
{% for tool in tools or [] %}<|tool>{{ tool | tojson }}<tool|>{% endfor %}
{%- for m in messages %}<|turn>{{ 'model' if m.role == 'assistant' else m.role }}
{% if m.reasoning_content %}<|channel>thought
{{ m.reasoning_content + '\\n<channel|>' }}{% endif %}
{%- for call in m.tool_calls or [] %}<|tool_call>call:{{ call.function.name }}
{{- value(call.function.arguments) }}<tool_call|>{% endfor %}
{{- m.content }}<turn|>
{% endfor %}
{% if add_generation_prompt %}{{ '<|turn>model\\n' }}{% endif %}"""
# Reasoning alone; its calls are in a format that is not declared.
DISTILL = """\
{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}
{%- for call in m.tool_calls or [] %}<call>{{ call.function.name }}</call>{% endfor %}
{{- m.content.split('</think>')[-1] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""


@dataclass(frozen=True)
class Family:
    """What a checkpoint of the family brings."""

    template: str
    special: tuple[str, ...]
    others: tuple[str, ...] = ()
    end: str = "<|im_end|>"


_THINK = ("<think>", "</think>")
_TOOL_CALL = ("<tool_call>", "</tool_call>")
_CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MISTRAL_TOKENS = (
    *("<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]"),
)
FAMILIES = {
    "hermes": Family(HERMES, _CHATML_TOKENS, (*_TOOL_CALL, *_THINK)),
    "hermes, as text": Family(HERMES, _CHATML_TOKENS),
    "hermes, compact": Family(COMPACT, _CHATML_TOKENS, (*_TOOL_CALL, *_THINK)),
    "qwen_xml": Family(QWEN_XML, _CHATML_TOKENS, (*_TOOL_CALL, *_THINK)),
    "qwen_xml, as text": Family(QWEN_XML, _CHATML_TOKENS),
    "llama_json": Family(LLAMA, ("<|im_start|>", "<|eot_id|>", "<|python_tag|>"), (), "<|eot_id|>"),
    "mistral": Family(MISTRAL, (*_MISTRAL_TOKENS, "[ARGS]", "[CALL_ID]"), (), "</s>"),
    "mistral_list": Family(MISTRAL_LIST, _MISTRAL_TOKENS, (), "</s>"),
    "granite": Family(
        GRANITE,
        ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<|tool_call|>"),
        (),
        "<|end_of_text|>",
    ),
    "gemma": Family(
        GEMMA,
        (
            *("<|turn>", "<turn|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>"),
            *('<|"|>', "<|channel>", "<channel|>"),
        ),
        (),
        "<turn|>",
    ),
    "gemma, as text": Family(GEMMA, ("<|turn>", "<turn|>"), (), "<turn|>"),
    "reasoning": Family(DISTILL, _CHATML_TOKENS, _THINK),
}


@cache
def family_tokenizer(name: str) -> PreTrainedTokenizerBase:
    return tokenizer_of(FAMILIES[name])


def tokenizer_of(family: Family) -> PreTrainedTokenizerBase:
    """Return a byte-level vocabulary with the family's tokens, and its template."""
    backend = tokenizers.trained_byte_level()
    backend.add_special_tokens(list(family.special))
    backend.add_tokens([AddedToken(each, normalized=False) for each in family.others])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=family.end, chat_template=family.template
    )
