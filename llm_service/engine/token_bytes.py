"""Converts the spelling of a token in a vocabulary to its bytes."""

import re
from collections.abc import Callable

from tokenizers import Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


def byte_decoder(backend: Tokenizer) -> Callable[[str], bytes]:
    """Return the function that decodes the tokens of this vocabulary."""
    kind = repr(backend.decoder)
    if "ByteLevel" in kind:
        of_char = {char: byte for byte, char in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]
        return lambda token: bytes(of_char[char] for char in token if char in of_char)
    if "ByteFallback" in kind:
        return lambda token: (
            bytes.fromhex(m[1]) if (m := _BYTE_TOKEN.fullmatch(token)) else _spaced(token)
        )
    return _spaced


def _spaced(token: str) -> bytes:
    return token.replace("\u2581", " ").encode()
