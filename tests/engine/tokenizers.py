"""Small tokenizers of the common kinds, built here, and the bundled model's own."""

import json
from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer, UnigramTrainer, WordPieceTrainer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llm_service.engine.loading.loader import bundled_models

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_TEXT = [
    "The quick brown fox jumps over the lazy dog; she sells sea shells, 0123456789!",
    "héllo wörld, naïve café, 字を書く, 🙂👍🏽 and some   spaces\n\tand lines\r\n",
    "{'a': [1, 2]} <b>bold</b> | pipe || <| almost |> im_start im_end tool_call",
] * 20


@cache
def pocket():
    return AutoTokenizer.from_pretrained(bundled_models()["pocket"])


@cache
def byte_level(chat_template=CHATML):
    """GPT-2's kind: bytes spelled as letters, ChatML's tokens, whitespace runs added as text."""
    backend = trained_byte_level()
    backend.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>"])
    backend.add_tokens(["<tool_call>", "</tool_call>"])
    backend.add_tokens([AddedToken("    ", normalized=False), AddedToken("<b>", normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", chat_template=chat_template
    )


def trained_byte_level():
    """The same, without added tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(_TEXT, trainer)
    return backend


INST = (
    "{{ bos_token }}{% for m in messages %}[INST] {{ m.content }} [/INST]{{ eos_token }}"
    "{% endfor %}"
)


@cache
def sentencepiece(chat_template=INST):
    """Llama 2's kind: spaces as U+2581, a space put before the text, bytes as a fallback."""
    normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    backend = Tokenizer(_with_byte_tokens(normalizer))
    backend.normalizer = normalizer
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.add_special_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")]
    )
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        chat_template=chat_template,
    )


def _with_byte_tokens(normalizer):
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizer
    trainer = BpeTrainer(vocab_size=400, limit_alphabet=70, show_progress=False)
    trained.train_from_iterator(_TEXT, trainer)
    model = json.loads(trained.to_str())["model"]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocab = {token: i for i, token in enumerate([*first, *model["vocab"]])}
    merges = [tuple(pair) for pair in model["merges"]]
    return models.BPE(vocab, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)


@cache
def merges_up_to_control_token():
    """As in some converted vocabularies: plain merges end in what is also a control token."""
    vocab = {token: i for i, token in enumerate(["<", "s", ">", "a", "b", "<s", "<s>"])}
    backend = Tokenizer(models.BPE(vocab, [("<", "s"), ("<s", ">")]))
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(["<s>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@cache
def unigram(chat_template=INST):
    """T5's kind: SentencePiece's unigrams over NFKC, which makes ASCII of wide characters.

    Its control tokens are likely pieces of text, and characters that it lacks are `<unk>`.
    """
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=300,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    backend.train_from_iterator(_TEXT, trainer)
    backend.add_tokens(["<tool_call>", "</tool_call>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=chat_template,
    )


@cache
def wordpiece(chat_template=INST):
    """BERT's kind: lowercase words, the rest of a word after `##`, and `[UNK]`."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    backend.train_from_iterator(_TEXT, trainer)
    backend.add_tokens(["<tool_call>", "</tool_call>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        chat_template=chat_template,
    )
