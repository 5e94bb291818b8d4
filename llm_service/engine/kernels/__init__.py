"""How a step is computed: packed weights, the paged KV cache, attention, and the C++ for them.

Knows nothing of requests, sequences or files of models.
"""
