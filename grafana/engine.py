"""The dashboard "Engine": its utilization, its speed, and its memory."""

from grafana.parts import BAD, GOOD, WARN, Json, chart, dashboard, heatmap, stat, steps, table
from grafana.queries import (
    INSTANCES,
    MODELS,
    buckets,
    gauge,
    mean,
    quantiles,
    rate,
    ratio,
)

BUSY = "llm_engine_busy_seconds_total"
ITL = "llm_inter_token_latency_seconds"
PREFILL, DECODE = f'{MODELS},phase="prefill"', f'{MODELS},phase="decode"'
COMPUTED = rate("llm_prompt_tokens_total", f'{MODELS},source="computed"')
CACHED = rate("llm_prompt_tokens_total", f'{MODELS},source="cached"')
OUTPUT = rate("llm_output_tokens_total")
KV_SHARE = ratio(gauge("llm_kv_cache_used_bytes"), gauge("llm_kv_cache_capacity_bytes"))
ANONYMOUS = gauge("llm_process_memory_bytes", f'{INSTANCES},type="anon"')
ACCOUNTED = gauge("llm_memory_bytes", INSTANCES)
ALWAYS = steps((GOOD, None))

NOW: list[Json] = [
    stat("Busy", "percentunit", rate(BUSY), "Share of time in which the engine computes.",
         steps((GOOD, None), (WARN, 0.8), (BAD, 0.95)), max=1),
    stat("Decode", "tokens/s", ratio(OUTPUT, rate(BUSY, DECODE)),
         "Tokens generated per second of decoding. Idle time is not counted.",
         ALWAYS),
    stat("Prefill", "tokens/s", ratio(COMPUTED, rate(BUSY, PREFILL)),
         "Prompt tokens computed per second of prefill.", ALWAYS),
    stat("One stream", "tokens/s", ratio(rate(f"{ITL}_count"), rate(f"{ITL}_sum")),
         "How fast the text of one stream grows.", ALWAYS),
    stat("KV cache", "percentunit", KV_SHARE, "Share of the KV cache that sequences hold.",
         steps((GOOD, None), (WARN, 0.8), (BAD, 0.95)), max=1),
    stat("Engine failures", "short",
         f"sum(increase(llm_engine_failures_total{{{MODELS}}}[$__range]))",
         "Failures in the dashboard's range. Each one fails all requests in flight.",
         steps((GOOD, None), (BAD, 0.5))),
    table("Served", f"llm_model_info{{{MODELS}}}", "The served models.", width=16),
    table("Version", f"llm_build_info{{{INSTANCES}}}", "Version of each instance.", width=8),
]  # fmt: skip

WORK = [
    chart("Busy, by phase", "percentunit", [(rate(BUSY, by="phase"), "{{phase}}")],
          "Share of time in prefill and in decode.", stacked=True),
    chart("Speed while busy", "tokens/s", [
        (ratio(COMPUTED, rate(BUSY, PREFILL)), "prefill"),
        (ratio(OUTPUT, rate(BUSY, DECODE)), "decode"),
    ], "Tokens per second of computing. Idle time is not counted."),
    chart("Speed of one stream", "tokens/s",
          [(ratio(rate(f"{ITL}_count"), rate(f"{ITL}_sum")), "mean")],
          "How fast the text of one stream grows."),
    chart("Sequences", "short", [
        (gauge("llm_requests_running"), "running"),
        (gauge("llm_requests_waiting"), "waiting"),
        (gauge("llm_slots"), "slots"),
    ], "Running and waiting sequences, and how many can run at once."),
    chart("Queue taken", "percentunit",
          [(ratio(gauge("llm_requests_waiting"), gauge("llm_queue_capacity")), "taken")],
          "Waiting sequences, divided by the queue's capacity. A full queue refuses requests.",
          line_at=0.8),
    chart("Sequences per step", "short", [(mean("llm_batch_size"), "mean")],
          "How many sequences share a step of the engine."),
    chart("Draft tokens", "ops",
          [(rate("llm_draft_tokens_total", by="outcome"), "{{outcome}}")],
          "Tokens drafted from the text so far and verified in one step.", stacked=True),
    heatmap("Sequences per step", "short", buckets("llm_batch_size"),
            "How many steps had how many sequences."),
    heatmap("Time in the queue", "s", buckets("llm_request_queue_seconds"),
            "Submission to first scheduled."),
]  # fmt: skip

LATENCY = [
    heatmap("Time between tokens", "s", buckets(ITL),
            "Gap between two tokens of a stream. A second band above the first is from steps with"
            " prefill."),
    heatmap("Time to first token", "s", buckets("llm_time_to_first_token_seconds"),
            "Arrival to first token, the queue included."),
    chart("Time in prefill", "s", quantiles("llm_request_prefill_seconds"),
          "First scheduled to first token."),
    chart("Cancelled, by phase", "ops",
          [(rate("llm_cancellations_total", by="phase"), "{{phase}}")],
          "Sequences aborted because the caller left or an operator cancelled.", stacked=True),
    chart("Time to free", "s", quantiles("llm_time_to_free_seconds"),
          "From an abort to the sequence's slot and blocks being free."),
]  # fmt: skip

MEMORY = [
    chart("KV cache", "bytes", [
        (gauge("llm_kv_cache_used_bytes"), "used"),
        (gauge("llm_kv_cache_capacity_bytes"), "capacity"),
    ], "The part that sequences hold, and the capacity."),
    chart("Prompt tokens from the prefix cache", "percentunit",
          [(ratio(CACHED, f"({CACHED} + {COMPUTED})"), "cached")],
          "Share of prompt tokens that were in the prefix cache and were not computed."),
    chart("Preemptions", "ops", [(rate("llm_preemptions_total"), "preemptions")],
          "Sequences that lost their KV blocks to others and are recomputed."),
    chart("Memory of the process", "bytes", [
        (gauge("llm_memory_bytes", INSTANCES, "kind"), "{{kind}}"),
        (f"clamp_min({ANONYMOUS} - {ACCOUNTED}, 0)", "other"),
    ], "The parts that the engine accounts for, and the rest of the process's own memory.",
       stacked=True),
    chart("Memory, as the kernel splits it", "bytes", [
        (gauge("llm_process_memory_bytes", INSTANCES, "type"), "{{type}}"),
        (gauge("llm_memory_limit_bytes", INSTANCES), "limit"),
    ], "anon is the process's own; file is mapped and can be dropped."),
    chart("GPU memory", "bytes",
          [(gauge("llm_gpu_memory_used_bytes", INSTANCES, "gpu"), "GPU {{gpu}}")],
          "In use, by all processes. Empty without a GPU."),
    chart("GPU busy", "percentunit",
          [(gauge("llm_gpu_utilization_ratio", INSTANCES, "gpu"), "GPU {{gpu}}")],
          "Share of time in which the GPU computes. Empty without a GPU or its driver's counter."),
    chart("CPU", "short", [
        (rate("process_cpu_seconds_total", INSTANCES), "used"),
        (gauge("llm_cpu_limit_cores", INSTANCES), "limit"),
        (rate("llm_cpu_throttled_seconds_total", INSTANCES), "throttled"),
    ], "Cores used, the limit, and the time in which the CPU quota throttled the process."),
    chart("Event-loop lag", "s", quantiles("llm_event_loop_lag_seconds", INSTANCES),
          "How late the event loop runs a timer. High values mean that computing starves Python."),
    chart("Open files", "short", [
        (gauge("process_open_fds", INSTANCES), "open"),
        (gauge("process_max_fds", INSTANCES), "limit"),
    ], "Open file descriptors, including connections, and their limit."),
    chart("Running for", "s",
          [(f"time() - process_start_time_seconds{{{INSTANCES}}}", "{{instance}}"),
           (f"max(llm_model_load_seconds{{{INSTANCES}}})", "loading the model")],
          "Time since each process started, and the time that loading the model took."),
]  # fmt: skip

ENGINE = dashboard(
    "llm-engine",
    "llm_service: engine",
    "The utilization, speed and memory of the engine.",
    [
        ("Now", NOW),
        ("Work", WORK),
        ("Latency", LATENCY),
        ("Memory and machine", MEMORY),
    ],
)
