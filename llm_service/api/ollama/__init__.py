"""Ollama's API, for clients that know no other: bodies, their translation, and answers."""
