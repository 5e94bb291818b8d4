"""Checks and measures the engine on a GPU, in one command that needs no network.

    python -m scripts.gpu_check --wheels FOLDER --out gpu.json

`__main__` runs each part as a process of its own, so that a part that crashes or hangs costs the
others nothing, and reads the rows that it wrote:

    exactness     greedy answers equal `transformers.generate`; draws equal the CPU's
    cancellation  requests that leave, in each phase, free all that they held
    answers       the bundled model loads in each form of its weights and can add
    speed         tokens per second at the shapes of real models, and memory against its prediction

It imports torch, transformers, `llm_service.engine`, `llm_service.bench`, `benchmarks.checkpoints`
and the tiny models of `tests/engine`, nothing else: the machine needs none of the service's web
libraries.
"""
