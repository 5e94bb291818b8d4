"""Owns the tokenizer: a byte-level BPE in Qwen's manner, trained on a sample of the corpus.

There is no Unicode normalisation, so that every text comes back exactly as it went in.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from models.pocket.corpus import conversations
from models.pocket.skills import words
from models.pocket.skills.recall import CITIES

FOLDER = Path(__file__).parent
VOCABULARY = 4096
MAX_POSITIONS = 2048
SAMPLE = 40_000
WORD_WEIGHT = 600
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TAGS = ("<tool_call>", "</tool_call>")
# Qwen's pattern: words with their leading space, digits one by one, runs of punctuation.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train(seed: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(TAGS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=3,
    )
    tokenizer.train_from_iterator(_sample(seed), trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in TAGS])
    return tokenizer


def _sample(seed: int) -> list[str]:
    """Only the words: markers become tokens of their own and must not be merged."""
    texts = []
    for talk in itertools.islice(conversations(seed), SAMPLE):
        text = talk.text
        for marker in (*SPECIAL, *TAGS):
            text = text.replace(marker, "\n")
        texts.append(text)
    return texts + _word_list()


def _word_list() -> list[str]:
    """Weight on the listed words, so that each is one token and invented names are several."""
    listed = [*words.COMMON, *words.SORTABLE, *words.NAMES, *words.COLOURS, *words.FOODS]
    listed += [*words.JOBS, *words.HOBBIES, *words.PETS, *words.PET_NAMES, *CITIES]
    return [" ".join(listed), "\n".join(listed)] * WORD_WEIGHT


def save(tokenizer: Tokenizer, folder: Path) -> None:
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[0],
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = (FOLDER / "chat_template.jinja").read_text()
    wrapped.save_pretrained(folder)
    _name_the_class(folder / "tokenizer_config.json")


def _name_the_class(path: Path) -> None:
    """The generic class, under the name that older readers know too."""
    described = json.loads(path.read_text())
    described["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    save(train(seed=0), FOLDER)
