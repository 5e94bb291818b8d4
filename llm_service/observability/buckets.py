"""The upper bounds of every histogram's buckets."""

# Upper bounds in seconds; +Inf is implied. The thresholds of the service's objectives are
# exact bounds: first token 2, end to end 30, between tokens .2. What a request can take reaches
# beyond the default LLM_REQUEST_TIMEOUT_SECONDS, 600. A small model answers within milliseconds:
# the lowest buckets are as fine as the others. Bounds may be added, but never removed.
LATE = (120, 300, 600, 900)
LONG = (
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75, 1,
    1.25, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, *LATE,
)  # fmt: skip
FIRST_TOKEN = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2,
    0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, *LATE,
)  # fmt: skip
INTER_TOKEN = (
    0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.004, 0.005, 0.006, 0.0075, 0.01, 0.0125, 0.015,
    0.02, 0.025, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1,
    2, 5,
)  # fmt: skip
QUEUE = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60,
    *LATE,
)  # fmt: skip
LAG = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
HTTP = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, *LATE)
REDIS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
# Counts.
TOKENS = tuple(2**n for n in range(3, 18))  # 8 to 131,072, the longest context in common use
BATCH = (1, 2, 3, 4, 6, 8, 12, 16, 32)
