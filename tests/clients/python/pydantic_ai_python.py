# /// script
# dependencies = ["pydantic-ai-slim[openai,anthropic]==2.68.0"]
# ///
"""pydantic-ai: an agent with a tool, over chat, Responses and Messages."""

import os

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

BASE, KEY, MODEL = (os.environ[name] for name in ("LLM_BASE_URL", "LLM_API_KEY", "LLM_MODEL"))
provider = OpenAIProvider(base_url=BASE + "/v1", api_key=KEY)
models = {
    "chat": OpenAIChatModel(MODEL, provider=provider),
    "responses": OpenAIResponsesModel(MODEL, provider=provider),
    "messages": AnthropicModel(MODEL, provider=AnthropicProvider(base_url=BASE, api_key=KEY)),
}


class Person(BaseModel):
    name: str
    age: int


asked: list[str] = []


def get_weather(city: str) -> dict[str, object]:
    """Get the weather in a city."""
    asked.append(city)
    return {"temperature": 21, "condition": "sunny"}


for name, model in models.items():
    asked.clear()
    settings = {"temperature": 0, "max_tokens": 100}
    agent = Agent(model, tools=[get_weather], model_settings=settings)
    result = agent.run_sync("What is the weather in Rome?")
    assert asked == ["Rome"], (name, asked)
    assert "sunny" in result.output, (name, result.output)

    parser = Agent(model, output_type=Person, model_settings=settings)
    assert isinstance(parser.run_sync("Ada is 36 years old.").output, Person), name
