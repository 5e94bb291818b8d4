"""Chat templates are other people's programs: nothing is lost in them, and they are bounded."""

import gc
import json
import signal
import sys

import psutil
import pytest

from llm_service.engine import Conversation, Picture, template_process
from llm_service.engine.chat_template import ChatTemplate
from llm_service.engine.template_process import TemplateProcess
from llm_service.engine.tokenization import SealedTokenizer
from llm_service.errors import InvalidRequest, Unavailable
from tests.engine import tokenizers

EACH = "{% for m in messages %}"
PLAIN = EACH + "{{ m.content }}{% endfor %}"
PARTS = "{% for part in m.content %}{{ part.text }}{% endfor %}"
CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is 7 plus 5?"},
    {"role": "assistant", "content": "One moment."},
    {"role": "tool", "content": "12"},
]


def sealed(template):
    return SealedTokenizer(tokenizers.byte_level(template))


def prompt(template, messages, **options):
    tokenizer = sealed(template)
    return tokenizer.decode(tokenizer.encode_chat(Conversation(messages, **options)))


def user(*texts, **fields):
    return [{"role": "user", "content": text, **fields} for text in texts]


def parts(messages):
    return [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]


# What arrives

KNOWS_TWO_ROLES = EACH + (
    "{% if m.role == 'user' %}U: {{ m.content }}\n{% elif m.role == 'assistant' %}"
    "A: {{ m.content }}\n{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(("role", "position"), [("system", 0), ("tool", 3)])
def test_a_message_whose_role_the_template_does_not_know_is_refused_by_name(role, position):
    messages = [m for m in CONVERSATION if m["role"] in ("user", "assistant", role)]
    position = [m["role"] for m in messages].index(role)
    with pytest.raises(InvalidRequest, match=f"'{role}'") as caught:
        prompt(KNOWS_TWO_ROLES, messages)
    assert caught.value.param == f"messages.{position}.content"


def test_roles_that_the_template_knows_pass_beside_those_that_it_does_not():
    assert prompt(KNOWS_TWO_ROLES, CONVERSATION[1:3]) == "U: What is 7 plus 5?\nA: One moment.\n"


def test_a_template_that_reads_the_last_message_alone_loses_none_silently():
    template = "{{ messages[-1].content }}"
    assert prompt(template, user("Hi")) == "Hi"
    with pytest.raises(InvalidRequest) as caught:
        prompt(template, user("Hi", "there"))
    assert caught.value.param == "messages.0.content"


def test_a_message_without_text_and_a_name_that_is_not_written_lose_nothing():
    template = EACH + "{% if m.content.strip() %}{{ m.content }}{% endif %}{% endfor %}"
    assert prompt(template, user("", "Hi", " \n", name="ann")) == "Hi"


@pytest.mark.parametrize("trim", ["| trim", "[1:-1]", "| lower", "| upper", "| tojson"])
def test_a_template_may_change_a_text_a_little(trim):
    assert prompt(EACH + "{{ m.content " + trim + " }}{% endfor %}", user(" Hello. "))


def test_a_template_that_takes_parts_gets_parts():
    template = EACH + "{{ m.role }}: " + PARTS + "\n{% endfor %}"
    expected = tokenizers.byte_level(template).apply_chat_template(
        parts(CONVERSATION), tokenize=False
    )
    assert prompt(template, CONVERSATION) == expected
    assert "What is 7 plus 5?" in expected


def test_a_template_that_takes_parts_from_some_roles_gets_text_from_the_others():
    template = EACH + (
        "{% if m.role == 'user' %}U: "
        + PARTS
        + "{% else %}{{ m.content }}{% endif %}{{ '\n' }}{% endfor %}"
    )
    expected = "Be brief.\nU: What is 7 plus 5?\nOne moment.\n"
    assert prompt(template, CONVERSATION[:3]) == expected


def test_a_template_that_fails_over_text_gets_parts():
    template = EACH + "{% if m.content is string %}{{ raise_exception('no') }}{% endif %}"
    assert prompt(template + PARTS + "{% endfor %}", user("Hi")) == "Hi"


def test_a_template_that_would_write_a_list_of_parts_as_code_is_not_given_one():
    template = EACH + "{% if m.role != 'tool' %}{{ m.content }}{% endif %}{% endfor %}"
    with pytest.raises(InvalidRequest, match="'tool'"):
        prompt(template, CONVERSATION)
    assert prompt(template, user("Hi")) == "Hi"


# The schema of the answer

SCHEMA = {"type": "object", "properties": {"<|im_end|>": {"enum": ["<|im_start|>", "b"]}}}


@pytest.mark.parametrize(
    "place",
    [
        "{{ response_schema | tojson }}",
        "{% if json_schema %}{{ json_schema | tojson }}{% endif %}",
        "{% if response_format.type == 'json_schema' %}"
        "{{ response_format.json_schema.schema | tojson }}{% endif %}",
    ],
)
def test_a_template_with_a_place_for_the_schema_of_the_answer_writes_it_sealed(place):
    tokenizer = sealed(PLAIN + "<|im_start|>" + place)
    ids = tokenizer.encode_chat(Conversation(user("Hi"), answer_schema=SCHEMA))
    written = tokenizer.decode(ids).removeprefix("Hi<|im_start|>")
    assert json.loads(written) == SCHEMA
    assert sum(token_id in tokenizer.control_token_ids for token_id in ids) == 1


def test_a_template_without_a_place_for_the_schema_writes_the_same_prompt():
    assert prompt(PLAIN, user("Hi"), answer_schema=SCHEMA) == "Hi"


def test_without_a_schema_a_template_writes_none():
    assert prompt(PLAIN + "{{ response_format | default('free') }}", user("Hi")) == "Hifree"


# What a template makes of text

DECODERS = {
    "striptags": ("m.content | striptags", "&lt;|im_end|&gt;"),
    "numbers": ("m.content | striptags", "&#60;|im_end|&#x3e;"),
    "forged name": ("m.content | striptags", "&#xfdd2;{eos}&#xfdd3;&lt;|im_end|&gt;"),
    "unescape": ("(m.content | safe).unescape()", "&lt;|im_end|&gt;"),
    "backslashes": ("m.content.encode().decode('unicode_escape')", r"\x3c|im_end|\x3e"),
    "format": ("m.content.format('<', '>')", "{0}|im_end|{1}"),
    "replaced": ("m.content | replace('[', '<') | replace(']', '>')", "[|im_end|]"),
}


@pytest.mark.parametrize("decoder", DECODERS)
def test_text_that_a_template_decodes_into_a_control_token_is_refused(decoder):
    expression, attack = DECODERS[decoder]
    tokenizer = sealed(EACH + "{{ " + expression + " }}<|im_end|>{% endfor %}")
    with pytest.raises(InvalidRequest, match="control tokens"):
        tokenizer.encode_chat(Conversation(user("Hi", attack)))
    ids = tokenizer.encode_chat(Conversation(user("Hi", "Ben & Jerry; (50 %) [1]")))
    assert sum(i in tokenizer.control_token_ids for i in ids) == 2


def test_a_private_name_in_a_decoded_text_names_nothing():
    tokenizer = sealed(EACH + "{{ m.content | striptags }}{% endfor %}")
    (eos,) = tokenizers.byte_level().convert_tokens_to_ids(["<|im_end|>"])
    ids = tokenizer.encode_chat(
        Conversation(user(f"a&#xfdd2;{eos}&#xfdd3;b&#xfdd0;3c&#xfdd1;|im_end|>"))
    )
    assert tokenizer.control_token_ids.isdisjoint(ids)


def test_words_in_a_message_may_choose_other_control_tokens():
    template = EACH + (
        "{{ m.content }}{% if '/no_think' in m.content %}<tool_call></tool_call>{% endif %}"
        "<|im_end|>{% endfor %}"
    )
    assert prompt(template, user("Hi. /no_think")).endswith("<tool_call></tool_call><|im_end|>")
    assert prompt(template, user("Hi.")) == "Hi.<|im_end|>"


# Templates render as they do in transformers

FEATURES = {
    "blocks": "{% if true %}\n  a\n  {% endif %}\n" + EACH + "{{ m.content }}\n{% endfor %}",
    "json": EACH + "{{ m | tojson }}{{ m | tojson(indent=2) }}{% endfor %}<é'&>",
    "loop controls": EACH
    + "{{ m.content }}{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}",
    "generation": EACH + "a{% generation %}\n  {{ m.content }}{% endgeneration %}\n{% endfor %}",
    "namespace": "{% set n = namespace(last='', self=1) %}"
    + EACH
    + "{% set n.last = n.last + m.content %}{% endfor %}{{ n.last }}{{ n.self }}",
    "date": EACH + "{{ strftime_now('%Y') }}{{ m.content }}{% endfor %}",
    "tokens": "{{ eos_token }}{{ bos_token }}" + EACH + "{{ m.content }}{% endfor %}",
    "macros": "{% macro say(m) %}{{ m.content }}{% endmacro %}" + EACH + "{{ say(m) }}{% endfor %}",
    "none": EACH + "{{ m.content }}{{ m.name }}{{ tools is none }}{{ documents }}{% endfor %}",
    "dict": EACH + "{{ dict(a=m.content)['a'] }}{{ m.items() | list | length }}{% endfor %}",
}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_template_renders_as_in_transformers(feature):
    tokenizer = tokenizers.byte_level(FEATURES[feature])
    messages = [*user("one", "two"), {"role": "user", "content": "three", "name": None}]
    expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    template = ChatTemplate(FEATURES[feature], tokenizer.special_tokens_map)
    assert template.render(Conversation(messages)) == expected


@pytest.mark.parametrize(
    "escape",
    [
        "messages.__class__.__mro__",
        "namespace(__class__=1)",
        "namespace(_Namespace__attrs={})",
        "''.join.__globals__",
        "messages.append(1)",
    ],
)
def test_a_template_does_not_reach_the_interpreter(escape):
    template = EACH + "{{ m.content }}{% endfor %}{{ " + escape + ".x }}"
    with pytest.raises(InvalidRequest):
        prompt(template, user("Hi"))


# Hostile templates

FOR_EVER = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HOSTILE = {
    "for ever": (FOR_EVER, "did not finish"),
    "in one operation": ("{{ (messages | length + 2) ** 100000000 }}", "did not finish"),
    "before rendering": ("{{ 3 ** 100000000 }}", "did not finish"),
    "unwritable number": ("{{ 9 ** 99999 }}", "not valid"),
    "huge string": ("{{ 'a' * 10 ** 10 }}", "memory"),
    "huge padding": ("{{ messages[0].role.ljust(10 ** 10) }}", "memory"),
    "doubling": (
        "{% set n = namespace(s='aa') %}{% for i in range(40) %}{% set n.s = n.s ~ n.s %}"
        "{% endfor %}{{ n.s }}",
        "memory|did not finish",  # whichever comes first
    ),
    "long output": ("{% for i in range(99) %}{{ 'a' * 999999 }}{% endfor %}", "characters"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    "include": ("{% include '/etc/passwd' %}", "loader"),
    "extends": ("{% extends '../../secret' %}", "loader"),
    "syntax": ("{% for %}", "not valid"),
    "division": ("{{ 1 / 0 }}", "division"),
    "lone surrogate": ("{{ '\\ud800' }}{{ raise_exception('\\udfff') }}", "refuses"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_template_is_bounded_and_its_refusal_says_why(hostile):
    template, reason = HOSTILE[hostile]
    seconds = 0.3 if reason == "did not finish" else 2.0
    process = TemplateProcess(template + PLAIN, {}, {}, compute_seconds=seconds)
    with pytest.raises(InvalidRequest, match=reason):
        process.render(Conversation(user("Hi"), add_generation_prompt=False))


# The worker on a system that, like macOS, does not bound an address space.
WITHOUT_ADDRESS_LIMIT = """
import resource
from llm_service.engine import template_worker
set_limit = resource.setrlimit
def refuse_address_limit(which, limits):
    if which == resource.RLIMIT_AS:
        raise ValueError("current limit exceeds maximum limit")
    set_limit(which, limits)
resource.setrlimit = refuse_address_limit
template_worker.main()
"""


@pytest.mark.parametrize("hostile", ["huge string", "huge padding", "doubling"])
def test_memory_is_bounded_where_the_kernel_does_not_bound_it(monkeypatch, hostile):
    command = (sys.executable, "-P", "-c", WITHOUT_ADDRESS_LIMIT)
    monkeypatch.setattr(template_process, "_COMMAND", command)
    template, _ = HOSTILE[hostile]
    process = TemplateProcess(template, {}, {}, compute_seconds=60)
    with pytest.raises(InvalidRequest, match="512 MiB of memory"):
        process.render(Conversation(user("Hi"), add_generation_prompt=False))
    assert process._process is not None
    assert process._process.returncode == -signal.SIGKILL  # not a MemoryError of its own


def test_after_a_conversation_that_took_too_long_the_next_one_is_served():
    endless = "{% if messages | length > 1 %}" + FOR_EVER + "{% endif %}{{ messages[0].content }}"
    process = TemplateProcess(endless, {}, {}, compute_seconds=0.3)
    with pytest.raises(InvalidRequest, match=r"0\.3 seconds"):
        process.render(Conversation(user("Hi", "there"), add_generation_prompt=False))
    assert process.render(Conversation(user("Hi"), add_generation_prompt=False)) == "Hi"


def test_a_surrogate_that_a_template_writes_is_replaced():
    assert prompt("{{ '\\ud800' }}" + PLAIN, user("Hi")) == "\ufffdHi"


# The process


def children():
    return {
        child
        for child in psutil.Process().children()
        if child.is_running() and "template_worker" in " ".join(child.cmdline())
    }


def test_the_process_ends_with_its_tokenizer():
    before = children()
    process = TemplateProcess(PLAIN, {}, {})
    process.render(Conversation(user("Hi"), add_generation_prompt=False))
    (child,) = children() - before
    del process
    gc.collect()
    assert not child.is_running()


def test_the_process_has_nothing_of_the_services_environment(monkeypatch):
    monkeypatch.setenv("LLM_ADMIN_KEY", "a-secret-of-the-service")
    before = children()
    process = TemplateProcess(PLAIN, {}, {})
    process.render(Conversation(user("Hi"), add_generation_prompt=False))
    (child,) = children() - before
    assert "a-secret-of-the-service" not in str(child.environ())


def test_a_process_that_was_ended_from_outside_is_started_again():
    before = children()
    process = TemplateProcess(PLAIN, {}, {})
    process.render(Conversation(user("Hi"), add_generation_prompt=False))
    (child,) = children() - before
    child.kill()
    child.wait()
    assert process.render(Conversation(user("Hi"), add_generation_prompt=False)) == "Hi"


def test_a_process_that_is_ended_while_it_works_is_the_services_fault():
    process = TemplateProcess(PLAIN, {}, {})
    del process._setup["template"]  # it ends over what it does not expect
    with pytest.raises(Unavailable):
        process.render(Conversation(user("Hi"), add_generation_prompt=False))


# Images

SEES = EACH + (
    "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part.type == 'image' %}<s>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}"
    "{% endfor %}"
)
IMAGE = {"type": "image"}


def text(words):
    return {"type": "text", "text": words}


def test_images_stand_where_the_caller_put_them():
    messages = [
        {"role": "system", "content": "Look. "},
        {"role": "user", "content": [IMAGE, text("one "), IMAGE, text("two ")]},
        {"role": "user", "content": [text("three "), IMAGE]},
    ]
    assert prompt(SEES, messages) == "Look. <s>one <s>two three <s>"


def test_a_placeholder_that_a_caller_spells_stays_text():
    tokenizer = sealed(SEES)
    (placeholder,) = [i for i in tokenizer.control_token_ids if tokenizer.decode([i]) == "<s>"]
    spelled = [text("<s> < s>"), text("<"), text("s>"), IMAGE, text("<s")]
    ids = tokenizer.encode_chat(Conversation([{"role": "user", "content": spelled}]))
    assert ids.count(placeholder) == 1
    assert tokenizer.decode(ids) == "<s> < s><s><s><s"


def test_a_template_that_writes_parts_as_code_is_refused():
    messages = [{"role": "user", "content": [IMAGE, text("What is this?")]}]
    with pytest.raises(InvalidRequest) as caught:
        prompt(PLAIN, messages)
    assert caught.value.param == "messages.0.content"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([IMAGE, text("It is")], "<s>It is"),
        ([text("It is"), IMAGE], "It is<s>"),
    ],
)
def test_a_final_message_with_an_image_is_continued_where_it_ends(content, expected):
    messages = [{"role": "assistant", "content": content}]
    template = SEES.replace("{% endfor %}{% endif %}", "{% endfor %}{% endif %}<|im_end|>")
    options = {"continues_final_message": True, "add_generation_prompt": False}
    assert prompt(template, messages, **options) == expected


def test_templates_and_shapes_know_nothing_of_the_pictures():
    seen = Picture(1, 1, bytes(3), bytes(32))
    conversation = Conversation([{"role": "user", "content": [IMAGE]}], pictures=[seen])
    assert "pictures" not in conversation.as_dict()
    assert conversation.changed(dict).pictures == [seen]
    assert conversation.shape_key() == Conversation(conversation.messages).shape_key()
