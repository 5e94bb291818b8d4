"""Checks and measures the engine on a GPU, in one command that needs no network.

    python -m scripts.gpu_check --wheels FOLDER --out gpu.json

`__main__` runs each part in its own process, so that a part that crashes or hangs does not affect
the others, and reads the rows that the part has written:

    exactness     greedy answers equal `transformers.generate`; draws equal the CPU's
    cancellation  requests that are cancelled in each phase free their slots and blocks
    answers       the bundled model loads with each type of weights and can add numbers
    speed         tokens per second with the shapes of real models; measured and predicted memory

It imports torch, transformers, `llm_service.engine`, `llm_service.bench`, `benchmarks.checkpoints`
and the tiny models of `tests/engine`, and nothing else. The machine does not need the service's web
libraries.
"""
