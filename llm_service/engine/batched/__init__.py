"""Continuous batching over a paged KV cache, for decoder-only text models."""
