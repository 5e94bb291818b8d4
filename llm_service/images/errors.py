"""What is wrong with one image, in words that follow its name in the request."""


class BadImage(Exception):
    """`words` follow the name of the field: "is truncated"."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words
