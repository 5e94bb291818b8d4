"""Measures any OpenAI-compatible server as its users would see it: over HTTP, with streams.

    client    one request on one connection; when each piece of its answer came
    answers   from those pieces to tokens, gaps and errors in words
    prompts   texts of a wanted length, none like another
    load      so many requests at once: a cell, and the figures of one repetition of it
    sweep     all cells, again and again, of one server or of two in turns
    facts     the machine: what every result must be read with
    report    tables, JSON and plots

These know nothing of this service's own parts: what they measure is anybody's server. Beside
them, in this process, without a server:

    quality   what rounding a model's weights costs
    engine    what steps of the engine take, and how much of that is not the model
"""


class BenchError(Exception):
    """The measuring cannot go on; its text is for the user."""
