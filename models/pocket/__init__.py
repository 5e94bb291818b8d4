"""pocket: a five-million-parameter demonstration chat model, and everything that makes it."""
