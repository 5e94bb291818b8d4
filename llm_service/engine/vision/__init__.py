"""From pictures to prompts: the model's own image processor and encoder, positions, a cache."""
