"""Computes embeddings: one vector per text, from the hidden states of a model."""
