"""Measures any OpenAI-compatible server over HTTP, with streamed answers, as its users see it.

    client    sends one request on one connection and records when each piece of the answer came
    answers   turns those pieces into tokens, gaps and error messages
    prompts   makes distinct texts of a given length
    load      runs one cell (a number of concurrent requests) once and computes its figures
    sweep     repeats all cells, for one server or for two in turns
    facts     describes the machine that the results were measured on
    report    writes tables, JSON and plots

These modules do not use this service's own parts, because they measure any server. Two more
modules measure in this process, without a server:

    quality   the cost of rounding a model's weights
    engine    the duration of the engine's steps, and the part of it outside the model
"""


class BenchError(Exception):
    """The measurement cannot be completed. The message is for the user."""
