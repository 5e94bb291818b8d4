"""Makes distinct texts of a given number of words, with a shared prefix on request.

They consist of short English words, which nearly every tokenizer encodes as one token each.
`sweep` corrects the number of words by the token counts that the server reports.
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
        """A text of `num_words` random words; the first `num_shared` are the same in all texts."""
        shared = random.Random(f"{self.seed} shared").choices(self._words, k=num_shared)  # noqa: S311
        own = random.Random(f"{self.seed} {next(self._numbers)}").choices(  # noqa: S311
            self._words, k=max(0, num_words - num_shared)
        )
        return "".join(f" {word}" for word in (*shared, *own))
