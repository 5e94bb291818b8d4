# /// script
# dependencies = ["instructor==1.17.0", "openai==2.54.0"]
# ///
"""instructor: objects by tools and by JSON schema.

Its mode JSON leaves the choice of names to the model, for which pocket is too small.
"""

import os

import instructor
import openai
from pydantic import BaseModel

plain = openai.OpenAI(
    base_url=os.environ["LLM_BASE_URL"] + "/v1", api_key=os.environ["LLM_API_KEY"]
)


class Person(BaseModel):
    name: str
    age: int


for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(plain, mode=mode)
    person = client.chat.completions.create(
        model=os.environ["LLM_MODEL"],
        messages=[{"role": "user", "content": "Ada is 36 years old."}],
        response_model=Person,
        max_tokens=200,
        max_retries=0,
        temperature=0,
    )
    assert isinstance(person, Person), (mode, person)
