"""Texts of a wanted length in tokens, none like another unless a shared beginning is asked for.

Made of short English words, of which nearly every tokenizer makes one token each; what a server
makes of them it says itself, and `sweep` corrects the number of words by that.
"""

import itertools
import random
from collections.abc import Sequence

_TEXT = """
time year people way day man thing woman life child world school state family student group
country problem hand part place case week company system program question work number night
point home water room mother area money story fact month lot right study book eye job word
business issue side kind head house service friend father power hour game line end member law
car city name team minute idea body back parent face others level office door health person art
war history party result change morning reason research girl guy moment air teacher force
education
"""
WORDS = tuple(_TEXT.split())


class Prompts:
    """A supply of texts. The same `seed` gives the same texts in the same order."""

    def __init__(self, seed: int, words: Sequence[str] = WORDS) -> None:
        self.seed = seed
        self._words = words
        self._numbers = itertools.count()

    def make(self, num_words: int, num_shared: int = 0) -> str:
        """A text that no other begins like, but for its first `num_shared` words."""
        shared = random.Random(f"{self.seed} shared").choices(self._words, k=num_shared)  # noqa: S311
        own = random.Random(f"{self.seed} {next(self._numbers)}").choices(  # noqa: S311
            self._words, k=max(0, num_words - num_shared)
        )
        return "".join(f" {word}" for word in (*shared, *own))
