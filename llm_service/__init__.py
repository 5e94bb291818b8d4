"""A self-hosted, OpenAI-compatible language-model service that you can see into."""

__version__ = "0.1.0"
