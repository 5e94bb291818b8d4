"""A byte-level BPE of any size, made by rule: what checkpoints without a real tokenizer use.

Syllables (`ba`) merge into halves (`bana`), halves into words (`banacate`), a space and a word into
one token, so n words with their spaces are exactly n tokens, and any other text falls back to
bytes. No letter pair can merge in two ways: a half's first and second consonant are of different
sets. The pattern that splits text is Qwen's, which all peers know.
"""

import itertools
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SPACE = "Ġ"  # how byte-level BPE writes a space
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_VOWELS = "aeiou"
_FIRST = [a + b for a, b in itertools.product("bcdfghjklm", _VOWELS)]
_SECOND = [a + b for a, b in itertools.product("npqrstvwxz", _VOWELS)]
_HALVES = [a + b for a, b in itertools.product(_FIRST, _SECOND)]
_SMALLEST = 256 + len(_FIRST) + len(_SECOND) + len(_HALVES) + len(SPECIAL) + 2


def word(number: int) -> str:
    """The word of that number, of 8 letters; different numbers below 75,000 are different words."""
    first, turn = number % len(_HALVES), number // len(_HALVES)
    return _HALVES[first] + _HALVES[(first + 1 + 83 * turn) % len(_HALVES)]


def build_tokenizer(vocab_size: int) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` tokens, the last three being SPECIAL."""
    assert vocab_size >= _SMALLEST
    merges = [(syllable[0], syllable[1]) for syllable in (*_FIRST, *_SECOND)]
    merges += [(half[:2], half[2:]) for half in _HALVES]
    num_words = -(-(vocab_size - _SMALLEST + 2) // 2)
    for each in map(word, range(num_words)):
        merges += [(each[:4], each[4:]), (SPACE, each)]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    del merges[vocab_size - len(SPECIAL) - len(alphabet) :]
    pieces = [*alphabet, *("".join(pair) for pair in merges)]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    assert tokenizer.get_vocab_size() == vocab_size
    return tokenizer


def words(number: int, vocab_size: int, seed: int = 0) -> list[str]:
    """`number` words that are each one token, space included, in that vocabulary."""
    num_words = (vocab_size - _SMALLEST + 2) // 2
    return [word(index) for index in random.Random(seed).sample(range(num_words), number)]
