# /// script
# dependencies = ["llm==0.36"]
# ///
"""llm: a model from extra-openai-models.yaml, with a stream, a schema and a tool."""

import json
import os
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
os.environ["LLM_USER_PATH"] = str(folder)
(folder / "extra-openai-models.yaml").write_text(
    "- model_id: local\n"
    f"  model_name: {os.environ['LLM_MODEL']}\n"
    "  api_key_name: local\n"
    f"  api_base: {os.environ['LLM_BASE_URL']}/v1\n"
    "  supports_schema: true\n"
    "  supports_tools: true\n"
)

import llm  # noqa: E402  # after its folder is set

model = llm.get_model("local")
KEY = os.environ["LLM_API_KEY"]
assert "12" in "".join(model.prompt("What is 7 plus 5?", stream=True, key=KEY))
schema = llm.schema_dsl("name, age int")
answer = model.prompt("Ada is 36 years old.", schema=schema, max_tokens=80, key=KEY)
assert {"name", "age"} <= set(json.loads(answer.text()))


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return '{"temperature": 21, "condition": "sunny"}'


chain = model.chain("What is the weather in Rome?", tools=[get_weather], key=KEY)
assert "sunny" in chain.text()
