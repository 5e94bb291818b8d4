"""The vocabulary of a model: text and bytes of its token ids, and the ids that end an answer."""

from collections.abc import Sequence

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from llm_service.engine.token_bytes import byte_decoder


class Vocabulary:
    """Describes the token ids below `size`, which is the width of the model's logits.

    A tokenizer may know fewer ids than that; the others have no text.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, *, size: int, eos_token_ids: frozenset[int]
    ) -> None:
        self.size = size
        self.eos_token_ids = eos_token_ids
        # transformers' decode is several times slower than the tokenizer inside it
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._added = self._backend.get_added_tokens_decoder()
        self._to_bytes = byte_decoder(self._backend)
        # the ids that `decode` leaves out of an answer's text
        self.special_token_ids = frozenset(i for i, token in self._added.items() if token.special)

    def decode(self, token_ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """Return the text of `token_ids` together; some tokens depend on those before."""
        text: str = self._backend.decode(token_ids, skip_special_tokens=skip_special_tokens)
        return text

    def token_bytes(self, token_id: int) -> bytes:
        """Return the bytes of the token in the middle of a text; empty for an unused id."""
        if (added := self._added.get(token_id)) is not None:
            return str(added.content).encode()
        return self._to_bytes(self._backend.id_to_token(token_id) or "")

    def token_text(self, token_id: int) -> str:
        """Return `token_bytes` as text, with U+FFFD for incomplete characters."""
        return self.token_bytes(token_id).decode(errors="replace")
