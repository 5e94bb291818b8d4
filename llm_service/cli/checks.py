"""The checks of `llm-service check`, one method each.

Uses the official client for all calls that it offers. It is separate from `check.py`, because
importing that client takes most of a second and would delay each start of the service.
"""

from collections.abc import Callable, Mapping

import httpx2 as httpx
import openai
import typer

PROMPT = "What is 7 plus 5?"
TIMEOUT_SECONDS = 120.0
NO_CHAT = "this model has no chat template"


class Failed(Exception):
    """A check failed; its text is the message for the user."""


def run_checks(url: str, key: str) -> bool:
    """Print one line per check, and return whether all succeeded."""
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_SECONDS
    ) as http:
        client = openai.OpenAI(
            base_url=f"{url.rstrip('/')}/v1", api_key=key, max_retries=0, timeout=TIMEOUT_SECONDS
        )
        checks = _Checks(http, client)
        results = [_run(name, function) for name, function in checks.all().items()]
    return all(results)


def _run(name: str, function: Callable[[], str]) -> bool:
    try:
        detail = function()
    except Failed as error:
        detail, is_good = str(error), False
    except (httpx.HTTPError, openai.OpenAIError) as error:
        detail, is_good = f"{type(error).__name__}: {error}", False
    else:
        is_good = True
    typer.echo(f"{'ok  ' if is_good else 'FAIL'}  {name:<8} {detail}")
    return is_good


class _Checks:
    def __init__(self, http: httpx.Client, client: openai.OpenAI) -> None:
        self._http = http
        self._client = client
        self._model = ""
        self._can: Mapping[str, bool] = {}

    def all(self) -> dict[str, Callable[[], str]]:
        return {
            "health": self.health,
            "auth": self.auth,
            "models": self.models,
            "chat": self.chat,
            "stream": self.stream,
            "limits": self.limits,
            "metrics": self.metrics,
        }

    def health(self) -> str:
        response = self._http.get("/health")
        if response.status_code != 200:
            raise Failed(f"{response.status_code}: {response.text[:200]}")
        return "the engine takes requests"

    def auth(self) -> str:
        response = self._http.get("/v1/models", headers={"Authorization": "Bearer wrong"})
        if response.status_code == 200:
            return "keys are switched off (LLM_REQUIRE_KEYS=false)"
        if response.status_code != 401 or "error" not in response.json():
            raise Failed(f"a wrong key was answered with {response.status_code}")
        return "a wrong key is refused with 401"

    def models(self) -> str:
        models = self._client.models.list().data
        if not models:
            raise Failed("no model is served")
        self._model = models[0].id
        self._can = (models[0].model_extra or {}).get("capabilities", {})
        return ", ".join(model.id for model in models)

    def chat(self) -> str:
        if self._can.get("embeddings"):
            return self._embedding()
        if not self._can.get("chat", True):
            return NO_CHAT
        answer = self._client.chat.completions.create(
            model=self._model, messages=[{"role": "user", "content": PROMPT}], max_tokens=64
        )
        usage = answer.usage
        if not answer.choices[0].message.content or usage is None or not usage.completion_tokens:
            raise Failed("an empty answer")
        return (
            f"{answer.choices[0].message.content.strip()[:60]!r}"
            f" ({usage.prompt_tokens} tokens in, {usage.completion_tokens} out)"
        )

    def _embedding(self) -> str:
        answer = self._client.embeddings.create(model=self._model, input=PROMPT)
        values = answer.data[0].embedding
        if not any(values):
            raise Failed("an embedding of zeros")
        return f"embeddings only: {len(values)} values ({answer.usage.prompt_tokens} tokens in)"

    def stream(self) -> str:
        if self._can.get("embeddings"):
            return "embeddings are not streamed"
        if not self._can.get("chat", True):
            return NO_CHAT
        num_chunks, usage = 0, None
        for chunk in self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "user", "content": PROMPT}],
            max_tokens=64,
            stream=True,
            stream_options={"include_usage": True},
        ):
            num_chunks += bool(chunk.choices)
            usage = chunk.usage or usage
        if num_chunks < 2 or usage is None:
            raise Failed(f"{num_chunks} chunks, usage {usage}")
        return f"{num_chunks} chunks, then usage: {usage.total_tokens} tokens"

    def limits(self) -> str:
        body = {"model": self._model, "prompt": "Hi", "max_tokens": 1}
        path = "/v1/completions"
        if self._can.get("embeddings"):
            body, path = {"model": self._model, "input": "Hi"}, "/v1/embeddings"
        response = self._http.post(path, json=body)
        response.raise_for_status()
        limit = response.headers.get("x-ratelimit-limit-requests")
        remaining = response.headers.get("x-ratelimit-remaining-requests")
        if limit is None:
            return "this key has no limit"
        if remaining is None or int(remaining) >= int(limit):
            raise Failed(f"limit {limit}, remaining {remaining}: nothing was counted")
        return f"{remaining} of {limit} requests a minute remain"

    def metrics(self) -> str:
        response = self._http.get("/metrics")
        if response.status_code == 403:
            return "this key may not read /metrics (scope metrics)"
        response.raise_for_status()
        if "llm_requests_total" not in response.text:
            raise Failed("/metrics has no llm_requests_total")
        samples = [line for line in response.text.splitlines() if line and line[0] != "#"]
        return f"{len(samples)} samples"
