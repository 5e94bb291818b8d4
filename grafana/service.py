"""The dashboard "Service": results and latency for callers, time per phase, use per key."""

from grafana.parts import BAD, GOOD, PHASES, WARN, Json, chart, dashboard, stat, steps
from grafana.queries import INSTANCES, MODELS, gauge, mean, quantile, quantiles, rate, ratio

TTFT = "llm_time_to_first_token_seconds"
ITL = "llm_inter_token_latency_seconds"
DURATION = "llm_request_duration_seconds"
REFUSED = f'{INSTANCES},phase="admission",kind=~"backend|overloaded"'
ANSWERED = f'{MODELS},outcome!~"cancelled|rejected"'
FAILED = f'{MODELS},outcome=~"error|timeout"'
ALWAYS = steps((GOOD, None))


def _share_failed() -> str:
    refused = rate("llm_request_errors_total", REFUSED)
    failed, answered = rate("llm_requests_total", FAILED), rate("llm_requests_total", ANSWERED)
    return ratio(f"({failed} + {refused})", f"({answered} + {refused})")


def _budget(objective: str) -> str:
    return f"1 - max(job:llm_{objective}:burn_rate7d)"


def _burn(objective: str) -> list[tuple[str, str]]:
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    return [(f"max(job:llm_{objective}:burn_rate{window})", window) for window in windows]


NOW: list[Json] = [
    stat("Ready", "bool_yes_no", f"min(llm_ready{{{INSTANCES}}})",
         "Whether every instance takes requests.", steps((BAD, None), (GOOD, 1)), max=1),
    stat("Requests", "reqps", rate("llm_requests_total"), "Inference requests per second.", ALWAYS),
    stat("Failed", "percentunit", _share_failed(),
         "Share of the requests that the service had to answer. Mistakes of callers do not count.",
         steps((GOOD, None), (WARN, 0.005), (BAD, 0.01)), max=1),
    stat("First token, p95", "s", quantile(0.95, TTFT),
         "Arrival to first token, the queue included. The objective is 2 s.",
         steps((GOOD, None), (WARN, 1), (BAD, 2))),
    stat("Between tokens, p95", "s", quantile(0.95, ITL),
         "Gap between two tokens of a stream. The objective is 200 ms.",
         steps((GOOD, None), (WARN, 0.1), (BAD, 0.2))),
    stat("Output", "tokens/s", rate("llm_output_tokens_total"), "Tokens generated per second.",
         ALWAYS),
    stat("Slots taken", "percentunit", ratio(gauge("llm_requests_running"), gauge("llm_slots")),
         "Running sequences, divided by the number that can run at once.",
         steps((GOOD, None), (WARN, 0.8), (BAD, 1)), max=1),
    stat("Waiting", "short", gauge("llm_requests_waiting"), "Sequences that wait for a slot.",
         steps((GOOD, None), (WARN, 1), (BAD, 50))),
    stat("Memory", "percentunit", ratio(
        gauge("llm_process_memory_bytes", f'{INSTANCES},type=~"anon|shmem"'),
        gauge("llm_memory_limit_bytes", INSTANCES)),
         "The process's own memory, divided by its limit. Mapped files are not counted.",
         steps((GOOD, None), (WARN, 0.8), (BAD, 0.9)), max=1),
    stat("Availability budget left", "percentunit", _budget("availability"),
         "Part left of the error budget: 1 % of requests may fail in 7 days. Below 0: overspent.",
         steps((BAD, None), (WARN, 0.1), (GOOD, 0.5)), lowest=None, max=1),
    stat("First-token budget left", "percentunit", _budget("ttft"),
         "Part left of the budget: 1 % of first tokens may take over 2 s in 7 days. Below 0:"
         " overspent.",
         steps((BAD, None), (WARN, 0.1), (GOOD, 0.5)), lowest=None, max=1),
    stat("Alerts firing", "short", 'count(ALERTS{alertstate="firing"}) or vector(0)',
         "docs/runbooks.md says what to do about each.", steps((GOOD, None), (BAD, 1))),
]  # fmt: skip

REQUESTS = [
    chart("Requests by outcome", "reqps",
          [(rate("llm_requests_total", by="outcome"), "{{outcome}}")],
          "Counted when they end: an answer that breaks off is an error, even if its HTTP code"
          " was 200.", stacked=True),
    chart("Errors by kind", "reqps",
          [(rate("llm_request_errors_total", INSTANCES, "kind, phase"), "{{kind}} in {{phase}}")],
          "Requests that failed or were refused, by reason and by the phase they had reached.",
          stacked=True),
    chart("Share that failed", "percentunit", [(_share_failed(), "failed")],
          "As the availability objective counts it. The objective allows 1 %.", line_at=0.01),
    chart("Time to first token", "s", quantiles(TTFT),
          "Arrival to first token, the queue included.", line_at=2),
    chart("End-to-end time", "s", quantiles(DURATION),
          "Arrival to last byte. Refused requests are not counted.", line_at=30),
    chart("Time between tokens", "s", quantiles(ITL), "Gap between two tokens of a stream.",
          line_at=0.2),
    chart("Time per phase", "s",
          [(mean(f"llm_request_{phase}_seconds"), phase) for phase in PHASES],
          "Mean time per request in each phase. Phases follow one another and never overlap.",
          stacked=True),
    chart("End-to-end time by streaming, p95", "s",
          [(quantile(0.95, DURATION, by="le, stream"), "stream: {{stream}}")],
          "End-to-end time of streamed and of other requests."),
    chart("Mean time per token", "s", quantiles("llm_time_per_output_token_seconds"),
          "Mean time per token of each finished request, which a reader perceives as speed.",
          line_at=0.2),
]  # fmt: skip

TOKENS = [
    chart("Tokens", "tokens/s", [
        (rate("llm_prompt_tokens_total", f'{MODELS},source="computed"'), "prompt, computed"),
        (rate("llm_prompt_tokens_total", f'{MODELS},source="cached"'), "prompt, cached"),
        (rate("llm_output_tokens_total"), "output"),
    ], "Prompt tokens that were computed, prompt tokens from the prefix cache, tokens generated.",
          stacked=True),
    chart("Prompt length", "short", quantiles("llm_request_prompt_tokens"), "Tokens per prompt."),
    chart("Answer length", "short", quantiles("llm_request_output_tokens"), "Tokens per answer."),
]  # fmt: skip

KEYS = [
    chart("Requests by key", "reqps",
          [(rate("llm_key_requests_total", INSTANCES, "key_name"), "{{key_name}}")],
          "By the key's name; `anonymous` for requests without a key.", stacked=True),
    chart("Tokens by key", "tokens/s",
          [(rate("llm_key_tokens_total", f'{INSTANCES},type=~"prompt|output"', "key_name"),
            "{{key_name}}")],
          "Prompt and output tokens together.", stacked=True),
    chart("Refused by limit", "reqps",
          [(rate("llm_rate_limit_rejections_total", INSTANCES, "key_name, limit"),
            "{{key_name}}: {{limit}}")],
          "Requests refused because a limit was spent.", stacked=True),
    chart("Redis", "bool", [(f"min(llm_redis_up{{{INSTANCES}}})", "up")],
          "1: limits are shared. 0: Redis is unavailable and each process counts for itself. Empty"
          " without LLM_REDIS_URL."),
    chart("Redis round trip, p95", "s",
          [(quantile(0.95, "llm_redis_operation_duration_seconds", INSTANCES, "le, op"), "{{op}}")],
          "Failed operations are included."),
    chart("Redis operations", "ops",
          [(rate("llm_redis_operation_duration_seconds_count", INSTANCES, "op"), "{{op}}")],
          "Operations per second."),
]  # fmt: skip

OBJECTIVES = [
    chart("Availability: burn rate", "short", _burn("availability"),
          "1 spends exactly the budget. A page at 13.44 (1 h and 5 m) or 3.5 (6 h and 30 m).",
          line_at=1),
    chart("First token: burn rate", "short", _burn("ttft"),
          "1 spends exactly the budget. A page at 13.44 (1 h and 5 m) or 3.5 (6 h and 30 m).",
          line_at=1),
    chart("Budget left", "percentunit",
          [(_budget("availability"), "availability"), (_budget("ttft"), "first token")],
          "Part of the budget left, over the last 7 days. Below 0: overspent.", lowest=None),
]  # fmt: skip

HTTP = [
    chart("HTTP requests", "reqps",
          [(rate("http_requests_total", INSTANCES, "route, code"), "{{code}} {{route}}")],
          "By route template; 499: the client left before an answer.", width=12),
    chart("HTTP time, p95", "s",
          [(quantile(0.95, "http_request_duration_seconds", INSTANCES, "le, route"), "{{route}}")],
          "Streamed answers are not counted.", width=12),
]  # fmt: skip

SERVICE = dashboard(
    "llm-service",
    "llm_service: service",
    "Requests and latency as callers see them, time per phase, and use per key.",
    [
        ("Now", NOW),
        ("Requests", REQUESTS),
        ("Tokens", TOKENS),
        ("Keys and limits", KEYS),
        ("Objectives", OBJECTIVES),
        ("HTTP", HTTP),
    ],
)
