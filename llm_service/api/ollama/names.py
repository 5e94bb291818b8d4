"""The names of models as Ollama's clients write them."""

from llm_service.engine.served import Models

LATEST = ":latest"  # Ollama's clients add it to names without a tag


def known_name(models: Models, name: str) -> str:
    """Return the name under which the model is served."""
    names = {known for known, _ in models.named()}
    return name if name in names else name.removesuffix(LATEST)
