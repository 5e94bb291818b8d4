"""The upper bounds of every histogram's buckets."""

# Upper bounds in seconds; +Inf is implied. The thresholds of the service's objectives are
# exact bounds: first token 2, end to end 30, between tokens .2. What a request can take reaches
# beyond the default LLM_REQUEST_TIMEOUT_SECONDS, 600.
LATE = (120, 300, 600, 900)
LONG = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, *LATE)
FIRST_TOKEN = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60, *LATE)
INTER_TOKEN = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5)
QUEUE = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, *LATE)
LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
HTTP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, *LATE)
REDIS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
# Counts.
TOKENS = tuple(2**n for n in range(3, 18))  # 8 to 131,072, the longest context in common use
BATCH = (1, 2, 3, 4, 6, 8, 12, 16, 32)
