"""From a name to an engine: files, configuration, memory, weights, and the parts put together.

May import `batched` and `kernels`; neither of them imports it. Not all of it loads torch, so
nothing is imported here.
"""
