"""Programs that run in a peer's own environment, where nothing of this project can be imported."""
