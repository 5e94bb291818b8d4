"""Owns definitions of the terms of serving language models."""

from __future__ import annotations

from random import Random

from models.pocket.skills.base import Exchange, phrase

_TERMS = """
TTFT|the time to first token: how long a user waits before the answer starts.
time to first token|the wait between sending a request and getting the first token.
TPOT|the time per output token: the average gap between two tokens of an answer.
inter-token latency|the gap between two tokens that follow each other in a stream.
latency|the time between a request and its answer.
throughput|the amount of work done per second, for example tokens per second.
tokens per second|the speed at which a model writes its answer.
KV cache|a store of keys and values of past tokens, so that they are not computed again.
prefill|the phase in which the model reads the whole prompt and fills the KV cache.
decode|the phase in which the model writes its answer, one token at a time.
token|a piece of text, often a word or part of a word, that a model reads or writes.
tokenizer|the part that cuts text into tokens and joins tokens back into text.
BPE|byte pair encoding, which builds tokens by merging frequent pairs.
vocabulary|the set of all tokens that a model knows.
embedding|a list of numbers that stands for the meaning of a token or text.
quantization|storing weights with fewer bits, to save memory and time.
rate limit|a cap on how many requests a client may send in a given time.
token bucket|a rate limit that refills at a steady pace and allows short bursts.
quota|the total amount that a client may use in a period.
Prometheus|a system that collects metrics from services and stores them over time.
Grafana|a tool that draws dashboards from metrics.
metric|a number that is measured again and again, such as requests per second.
histogram|a metric that counts how many values fall into each bucket.
counter|a metric that only goes up, such as the number of requests.
gauge|a metric that can go up and down, such as the queue length.
percentile|the value below which a given share of the measurements lies.
p95|the value that 95 of 100 measurements stay below.
p99|the value that 99 of 100 measurements stay below.
median|the middle value when all values are sorted.
API|an interface through which programs talk to each other.
API key|a secret string that tells a service who is calling.
REST|a style of web API with resources, addresses and HTTP methods.
HTTP|the protocol that browsers and servers use to talk.
HTTP status 429|the answer of a server when a client sends too many requests.
HTTP status 404|the answer of a server when the thing asked for does not exist.
HTTP status 401|the answer of a server when the client is not logged in.
HTTP status 500|the answer of a server when it failed inside.
HTTP status 503|the answer of a server that is overloaded or not ready.
JSON|a text format for data made of objects, lists, strings and numbers.
SSE|server-sent events, a way for a server to push text to a client piece by piece.
streaming|sending the answer piece by piece while it is being written.
WebSocket|a connection over which both sides can send messages at any time.
endpoint|an address of an API that does one thing.
middleware|code that runs before and after every request.
load balancer|a part that spreads requests over several servers.
batch|a group of requests that are computed together.
continuous batching|letting requests join and leave a running batch at every step.
batch size|the number of sequences computed together.
queue|a line of requests that wait for their turn.
back pressure|telling clients to slow down when the system is full.
scheduler|the part that decides which request runs next.
concurrency|doing several things in the same period of time.
thread|a path of execution inside a process.
process|a running program with its own memory.
asyncio|the Python library for code that waits without blocking.
event loop|the part that runs tasks whenever they are ready.
cache|a fast store of results that may be needed again.
cache hit|a request whose answer is found in the cache.
prefix cache|a cache of the KV entries of prompts that start alike.
LRU|a cache rule that drops the entry that was used longest ago.
prompt|the text given to a model.
system prompt|the first message, which tells the model how to behave.
completion|the text that a model adds to a prompt.
context window|the largest number of tokens that a model can look at.
temperature|a setting that makes the choice of tokens more or less random.
top-p|a setting that keeps only the most likely tokens up to a total probability.
top-k|a setting that keeps only the k most likely tokens.
greedy decoding|always taking the most likely next token.
sampling|choosing the next token at random by its probability.
seed|a number that makes random choices repeatable.
stop sequence|a text that ends the answer when it appears.
logit|a raw score of a token before it becomes a probability.
softmax|a function that turns scores into probabilities.
transformer|a neural network built from attention and feed-forward layers.
attention|the mechanism with which a token looks at earlier tokens.
GQA|grouped-query attention, where several query heads share keys and values.
layer|one step of a neural network.
parameter|a number that a model has learnt.
weight|a learnt number that scales an input of a neural network.
neural network|a function with many learnt numbers, built in layers.
training|adjusting the weights of a model until it predicts its data well.
inference|running a trained model to get answers.
fine-tuning|training a finished model a little more for one task.
LoRA|a cheap way to fine-tune by learning small extra matrices.
loss|a number that says how wrong a model is.
gradient|the direction in which the loss grows fastest.
learning rate|the size of the steps taken in training.
overfitting|learning the training data by heart and failing on new data.
hallucination|an answer that sounds right but is made up.
LLM|a large language model, which predicts text token by token.
RAG|retrieval-augmented generation: looking up texts before answering.
tool call|a request of the model to run a function with given arguments.
chat template|the rule that turns messages into one prompt.
safetensors|a safe file format for the weights of a model.
GGUF|a file format for quantized models.
bfloat16|a number format of 16 bits with the range of 32 bits.
CPU|the main processor of a computer.
GPU|a processor that does many simple computations at once.
RAM|the working memory of a computer.
AVX2|CPU instructions that work on several numbers at once.
Docker|a tool that packs a program with all it needs into a container.
container|an isolated package of a program and its files.
Kubernetes|a system that runs containers on many machines.
health check|a request that asks whether a service is well.
graceful shutdown|finishing open requests before a service stops.
timeout|the longest time that one waits for an answer.
retry|sending a failed request again.
circuit breaker|a switch that stops calls to a service that keeps failing.
SLO|a target for the quality of a service, such as a latency.
uptime|the share of time in which a service works.
log|a record of what a program did.
tracing|following one request through all parts of a system.
speculative decoding|letting a small model guess tokens that a big model checks.
benchmark|a repeatable measurement of speed or quality.
Python|a programming language that is easy to read.
FastAPI|a Python framework for web APIs.
Git|a tool that keeps the history of files.
database|a program that stores data and answers questions about it.
SQLite|a small database that lives in one file.
algorithm|a list of steps that solves a problem.
recursion|a function that calls itself.
variable|a name for a value in a program.
function|a named piece of code that can be called.
loop|code that repeats.
compiler|a program that translates code into machine instructions.
bug|a mistake in a program.
"""

TERMS: dict[str, str] = dict(line.split("|", 1) for line in _TERMS.strip().splitlines())

_ASK = (
    "What is {v}?", "Define {v}.", "Explain {v}.", "What does {v} mean?", "What's {v}?",
    "Tell me about {v}.", "What do you mean by {v}?", "Can you explain {v}?", "{v}?",
    "Give me a definition of {v}.", "Explain {v} to me.", "Describe {v}.", "Meaning of {v}?",
    "What is meant by {v}?", "Explain {v} briefly.", "Explain {v} in one sentence.",
    "I want to know what {v} is.", "Do you know what {v} is?", "Define the term {v}.",
)  # fmt: skip
_ARTICLE = ("What is a {v}?", "What's a {v}?", "Explain what a {v} is.", "What is the {v}?")


def _cased(rng: Random, term: str) -> str:
    roll = rng.random()
    if roll < 0.12:
        return term.lower()
    return term[0].upper() + term[1:] if roll < 0.2 else term


def define(rng: Random) -> Exchange:
    term, meaning = rng.choice(list(TERMS.items()))
    user = phrase(rng, _ARTICLE if rng.random() < 0.25 else _ASK, v=_cased(rng, term))
    answer = f"{term[0].upper()}{term[1:]}: {meaning}"
    return Exchange("definitions", user, answer, code=f"# {answer}")
