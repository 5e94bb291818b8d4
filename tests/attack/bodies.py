"""Request bodies that cost a server more than their sender, each of about the size asked for."""

import gzip
import json
from collections.abc import Callable

Body = Callable[[int], bytes]

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
HELLO = b'"messages":[{"role":"user","content":"Hi"}]'


def repeated(head: bytes, unit: bytes, tail: bytes) -> Body:
    """`head`, as many comma-separated `unit`s as fit, `tail`."""

    def build(size: int) -> bytes:
        count = max(1, (size - len(head) - len(tail)) // (len(unit) + 1))
        return head + b",".join([unit] * count) + tail

    return build


def text(head: bytes, unit: str, tail: bytes) -> Body:
    """`head`, a string of as many `unit`s as fit, `tail`."""

    def build(size: int) -> bytes:
        return head + unit.encode() * (size // len(unit.encode())) + tail

    return build


def numbered(head: bytes, entry: str, tail: bytes) -> Body:
    """`head`, members with names of their own, `tail`."""

    def build(size: int) -> bytes:
        count = size // (len(entry % 0) + 6)
        return head + ",".join(entry % i for i in range(count)).encode() + tail

    return build


def _chat(head: bytes, unit: bytes, tail: bytes = b"") -> Body:
    return repeated(b'{"model":"pocket",' + HELLO + b"," + head, unit, tail + b"}")


# Structure: each is refused, or else served like any other request. name -> (path, body)
SHAPES: dict[str, tuple[str, Body]] = {
    "prompt of objects": (COMPLETIONS, repeated(b'{"prompt":[', b"{}", b"]}")),
    "prompt of lists": (COMPLETIONS, repeated(b'{"prompt":[', b"[]", b"]}")),
    "prompt of lists of text": (COMPLETIONS, repeated(b'{"prompt":[', b'["a"]', b"]}")),
    "prompt of integers": (COMPLETIONS, repeated(b'{"prompt":[', b"1", b"]}")),
    "prompt of floats": (COMPLETIONS, repeated(b'{"prompt":[', b"1e5", b"]}")),
    "prompt of strings": (COMPLETIONS, repeated(b'{"prompt":[', b'""', b"]}")),
    "deep nesting": (CHAT, lambda size: b"[" * size),
    "nested 900 deep, many times": (CHAT, repeated(b"[", b"[" * 900 + b"]" * 900, b"]")),
    "many members": (CHAT, numbered(b'{"model":"pocket",', '"%x":1', b"}")),
    "one member, many times": (CHAT, repeated(b"{", b'"a":1', b"}")),
    "many bad members of a key": ("/api/keys", numbered(b"{", '"%x":1', b"}")),
    "logit_bias": (CHAT, numbered(b'{"model":"pocket","logit_bias":{', '"%d":"x"', b"}}")),
    "messages": (CHAT, repeated(b'{"messages":[', b'{"role":"user","content":"a"}', b"]}")),
    "wrong messages": (CHAT, repeated(b'{"messages":[', b'{"role":1}', b"]}")),
    "content parts": (
        CHAT,
        repeated(b'{"messages":[{"role":"user","content":[', b'{"type":1}', b"]}]}"),
    ),
    "stop strings": (CHAT, _chat(b'"stop":[', b"1", b"]")),
    "stop token ids": (CHAT, _chat(b'"stop_token_ids":[', b'"a"', b"]")),
    "tools": (CHAT, _chat(b'"tools":[', b"{}", b"]")),
    "an unknown field": (CHAT, _chat(b'"unknown":[', b"{}", b"]")),
    "one huge integer": (CHAT, lambda size: b'{"max_tokens":' + b"1" * size + b"}"),
    "integers of 4,300 digits": (CHAT, repeated(b'{"a":[', b"1" * 4300, b"]}")),
    "a name of megabytes": (CHAT, text(b'{"logit_bias":{"', "x", b'":"y"}}')),
}

# Text: within every bound of structure, so what is counted here is what the text costs.
TEXTS: dict[str, tuple[str, Body]] = {
    "escapes in a string": (CHAT, text(b'{"messages":"', "\\n", b'"}')),
    "\\u escapes in a string": (CHAT, text(b'{"messages":"', "\\u0041", b'"}')),
    "backslashes in a string": (CHAT, text(b'{"messages":"', "\\\\", b'"}')),
    "a string that does not end": (CHAT, text(b'{"messages":"', "x", b"")),
    "prompt text": (COMPLETIONS, text(b'{"model":"pocket","prompt":"', "word ", b'"}')),
    "chat text": (
        CHAT,
        text(b'{"model":"pocket","messages":[{"role":"user","content":"', "word ", b'"}]}'),
    ),
    "text to tokenize": ("/tokenize", text(b'{"prompt":"', "word ", b'"}')),
    "one long word": (COMPLETIONS, text(b'{"model":"pocket","prompt":"', "x", b'"}')),
}

# Just within every bound of structure, so that parsing and validation are done: fixed sizes.
LARGEST: dict[str, tuple[str, Body]] = {
    "10,900 messages": (
        CHAT,
        lambda _: SHAPES["messages"][1](10_900 * 30).replace(b"{", b'{"model":"pocket",', 1),
    ),
    "262,000 token ids": (
        COMPLETIONS,
        lambda _: repeated(b'{"model":"pocket","prompt":[', b"12", b"]}")(262_000 * 3),
    ),
    "262,000 token ids to decode": (
        "/detokenize",
        lambda _: repeated(b'{"tokens":[', b"12", b"]}")(262_000 * 3),
    ),
    "32,000 members of an unknown field": (
        CHAT,
        lambda _: numbered(b'{"model":"pocket",' + HELLO + b',"x":{', '"%x":1', b"}}")(350_000),
    ),
}


def compressed(size: int) -> bytes:
    """A gzip bomb: `size` bytes of spaces in a thousandth of that."""
    return gzip.compress(json.dumps({"prompt": " " * size}).encode())
