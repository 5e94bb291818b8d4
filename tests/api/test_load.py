"""Many at once on the bundled model: all are served, those who leave harm nobody."""

import asyncio
from typing import Any

import httpx2 as httpx
import pytest

from tests.support.service import RunningService

pytestmark = pytest.mark.anyio

NUM_STREAMS = 32


def body(index: int, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Story number {index}, please."}]
    return {
        "model": "pocket",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": max_tokens,
        "ignore_eos": True,
        "temperature": 0,
    }


async def read(http: httpx.AsyncClient, index: int, max_tokens: int) -> str:
    async with http.stream(
        "POST", "/v1/chat/completions", json=body(index, max_tokens)
    ) as response:
        assert response.status_code == 200
        return "".join([text async for text in response.aiter_text()])


async def leave_after_first_token(http: httpx.AsyncClient, index: int) -> None:
    async with http.stream("POST", "/v1/chat/completions", json=body(index, 1500)) as response:
        async for _ in response.aiter_text():
            return


async def test_all_of_32_streams_complete_with_every_token_asked_for(
    service: RunningService,
) -> None:
    async with service.async_client() as http:
        answers = await asyncio.gather(*(read(http, i, 40) for i in range(NUM_STREAMS)))
    for answer in answers:
        assert answer.endswith("data: [DONE]\n\n")
        assert '"completion_tokens":40' in answer


async def test_when_half_leave_mid_stream_their_blocks_are_freed_and_the_rest_unharmed(
    service: RunningService,
) -> None:
    async with service.async_client() as http:
        alone = [await read(http, i, 30) for i in range(2)]
        stay = [read(http, i % 2, 30) for i in range(NUM_STREAMS // 2)]
        leave = [leave_after_first_token(http, 100 + i) for i in range(NUM_STREAMS // 2)]
        results, _ = await asyncio.gather(asyncio.gather(*stay), asyncio.gather(*leave))
        await until_idle(http)
        metrics = (await http.get("/metrics")).text
    for gauge in ("llm_requests_running", "llm_requests_waiting", "llm_kv_cache_used_bytes"):
        assert f'{gauge}{{model="pocket"}} 0.0' in metrics
    texts = {text_of(answer) for answer in results}
    assert texts == {text_of(answer) for answer in alone}


def text_of(answer: str) -> str:
    import json

    events = [
        json.loads(line.removeprefix("data: "))
        for line in answer.splitlines()
        if line.startswith("data: {")
    ]
    return "".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"])


async def until_idle(http: httpx.AsyncClient) -> None:
    """Wait until nothing runs and no block is held; the test's time limit is the bound."""
    async with asyncio.timeout(30):
        while True:
            engine = (await http.get("/api/status")).json()["engine"]
            busy = [engine[name] for name in ("num_running", "num_waiting", "kv_cache_used_bytes")]
            if busy == [0, 0, 0]:
                return
