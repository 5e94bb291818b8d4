"""Serves an OpenVINO model: `python openvino_server.py FOLDER PORT THREADS`, in its environment."""

import queue
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai
from streaming import Detokenizer, Emit, serve

CACHE_GIB = 1


@dataclass
class _Request:
    handle: Any
    max_tokens: int
    emit: Emit
    detokenizer: Detokenizer
    num_tokens: int = 0


@dataclass
class _Waiting:
    number: int
    token_ids: list[int]
    max_tokens: int
    emit: Emit = field(repr=False)


class Pipeline:
    """Implements `streaming.Engine`: one thread that steps while there is something to do."""

    def __init__(self, folder: str, threads: int) -> None:
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = CACHE_GIB
        scheduler.enable_prefix_caching = True
        self._pipeline = genai.ContinuousBatchingPipeline(
            folder, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads}
        )
        self._tokenizer = self._pipeline.get_tokenizer()
        self._waiting: queue.Queue[_Waiting] = queue.Queue()
        self._running: list[_Request] = []
        threading.Thread(target=self._work, daemon=True).start()

    def encode(self, text: str) -> list[int]:
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        return [int(number) for number in encoded.input_ids.data[0]]

    def submit(self, number: int, token_ids: list[int], max_tokens: int, emit: Emit) -> None:
        self._waiting.put(_Waiting(number, token_ids, max_tokens, emit))

    def _work(self) -> None:
        while True:
            while not self._running or not self._waiting.empty():
                self._begin(self._waiting.get())
            self._pipeline.step()
            for request in self._running:
                self._read(request)
            self._running = [r for r in self._running if r.num_tokens < r.max_tokens]

    def _begin(self, waiting: _Waiting) -> None:
        config = genai.GenerationConfig()
        config.max_new_tokens = waiting.max_tokens
        config.ignore_eos = True
        prompt = ov.Tensor(np.array([waiting.token_ids], np.int64))
        handle = self._pipeline.add_request(waiting.number, prompt, config)
        detokenizer = Detokenizer(self._tokenizer.decode)
        self._running.append(_Request(handle, waiting.max_tokens, waiting.emit, detokenizer))

    def _read(self, request: _Request) -> None:
        while request.handle.can_read():
            for output in request.handle.read().values():
                token_ids = list(output.generated_ids)
                request.num_tokens += len(token_ids)
                is_last = request.num_tokens >= request.max_tokens
                text = request.detokenizer.feed(token_ids)
                request.emit(text, request.num_tokens, is_last)


if __name__ == "__main__":
    serve(Pipeline(sys.argv[1], int(sys.argv[3])), int(sys.argv[2]))
