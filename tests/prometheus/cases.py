"""For each alert: what makes it fire, what does not, and what only just does not.

Values are promtool's: `0+6x60` is 0, 6, 12 ... one per minute, or as
`Case.step` says.
"""

from dataclasses import dataclass

ONE = '{job="llm_service",instance="one"}'
STOP = 'llm_requests_total{job="llm_service",outcome="stop"}'
ERROR = 'llm_requests_total{job="llm_service",outcome="error"}'
CANCELLED = 'llm_requests_total{job="llm_service",outcome="cancelled"}'
FULL = 'llm_request_errors_total{job="llm_service",phase="admission",kind="overloaded"}'
LOADING = 'llm_request_errors_total{job="llm_service",phase="admission",kind="loading"}'
NOT_READY = 'llm_request_errors_total{job="llm_service",phase="admission",kind="backend"}'
LIMITED = 'llm_request_errors_total{job="llm_service",phase="admission",kind="rate_limit"}'
IN_TIME = 'llm_time_to_first_token_seconds_bucket{job="llm_service",le="2.0"}'
FIRST = 'llm_time_to_first_token_seconds_count{job="llm_service"}'
BROKEN = 'llm_request_errors_total{job="llm_service",kind="backend",phase="decode"}'
REJECTED = (
    'llm_rate_limit_rejections_total{job="llm_service",instance="one",key_name="ada",'
    'limit="requests"}'
)


@dataclass(frozen=True, slots=True)
class Case:
    """`says` is the description when it fires; None: it must not fire."""

    alert: str
    because: str
    series: dict[str, str]
    minutes: float
    says: str | None = None
    severity: str = "page"
    labels: tuple[str, ...] = ("job", "instance")

    @property
    def is_burn(self) -> bool:
        return self.alert.endswith("Burn")

    @property
    def step(self) -> str:
        """Between two values of the series."""
        if self.alert == "ServingStalled":
            return "15s"
        return "1m" if self.minutes < 100 else "5m" if self.minutes < 1000 else "15m"

    @property
    def evaluation(self) -> str:
        """Between two evaluations of the rules: as seldom as the case allows, for each costs."""
        if not self.is_burn:
            return "15s"
        return "30m" if self.minutes < 1000 else "1h"


def _traffic(stop: str, error: str, **more: str) -> dict[str, str]:
    other = {
        "full": FULL,
        "limited": LIMITED,
        "cancelled": CANCELLED,
        "loading": LOADING,
        "not_ready": NOT_READY,
    }
    quiet = {FULL: "0x1000"}
    return {STOP: stop, ERROR: error, **quiet, **{other[name]: more[name] for name in more}}


def _gauges(**values: str) -> dict[str, str]:
    return {f"{name}{ONE}": series for name, series in values.items()}


def _memory(anon: str, file: str) -> dict[str, str]:
    types = {"anon": anon, "file": file}
    series = {
        f'llm_process_memory_bytes{{job="llm_service",instance="one",type="{name}"}}': values
        for name, values in types.items()
    }
    return {**series, **_gauges(llm_memory_limit_bytes="1000x60")}


BURNED = (
    "The error budget is spent {0} times as fast as it lasts: {0} % of the requests failed or were"
    " refused."
)
LATE = "{} % of the first tokens came later than 2 s; 1 % may."
JOB = ("job",)

CASES = [
    # 100 requests a minute; a page at 13.44 % over 1 h and 5 m, or 3.5 % over 6 h and 30 m.
    Case("AvailabilityBurn", "14 % fail", _traffic("0+86x90", "0+14x90"), 90,
         BURNED.format("14.0"), "page", JOB),
    Case("AvailabilityBurn", "14 % are refused because it is full",
         _traffic("0+86x90", "0x90", full="0+14x90"), 90, BURNED.format("14.0"), "page", JOB),
    Case("AvailabilityBurn", "4 % fail for 7 hours", _traffic("0+96x84", "0+4x84"), 420,
         BURNED.format("4.0"), "page", JOB),
    Case("AvailabilityBurn", "13 % fail, which in an hour is just too few",
         _traffic("0+9000x60 540000+87x31", "0x60 0+13x31"), 90, None, "page", JOB),
    Case("AvailabilityBurn", "3.4 % fail for 7 hours",
         _traffic("0+966x84", "0+34x84"), 420, None, "page", JOB),
    Case("AvailabilityBurn", "all fail, but only 18 in the hour",
         _traffic("0x90", "0+0.3x90"), 90, None, "page", JOB),
    Case("AvailabilityBurn", "the hour was bad, but its last half is good",
         _traffic("0+70x58 4060+100x40", "0+30x58 1740x40"), 90, None, "page", JOB),
    Case("AvailabilityBurn", "callers cancel and exceed their limits",
         _traffic("0+50x90", "0x90", cancelled="0+100x90", limited="0+100x90"), 90, None,
         "page", JOB),
    Case("AvailabilityBurn", "most come before the model is loaded",
         _traffic("0+50x90", "0x90", loading="0+100x90"), 90, None, "page", JOB),
    Case("AvailabilityBurn", "14 % are refused because it is no longer ready",
         _traffic("0+86x90", "0x90", not_ready="0+14x90"), 90, BURNED.format("14.0"), "page", JOB),
    Case("AvailabilityBurn", "nobody asks anything", _traffic("0x90", "0x90"), 90, None,
         "page", JOB),
    # A ticket at 1.4 % over 1 d and 2 h, or .98 % over 3 d and 6 h.
    Case("AvailabilityBurn", "1.5 % fail for a day", _traffic("0+985x100", "0+15x100"), 1500,
         BURNED.format("1.5"), "ticket", JOB),
    Case("AvailabilityBurn", ".9 % fail for a day", _traffic("0+991x100", "0+9x100"), 1500, None,
         "ticket", JOB),
    Case("AvailabilityBurn", "1 % fail for 3 days", _traffic("0+990x294", "0+10x294"), 4380,
         BURNED.format("1.0"), "ticket", JOB),
    Case("AvailabilityBurn", ".97 % fail for 3 days", _traffic("0+9903x294", "0+97x294"), 4380,
         None, "ticket", JOB),
    Case("TTFTBurn", "14 % are late", {IN_TIME: "0+86x90", FIRST: "0+100x90"}, 90,
         LATE.format("14.0"), "page", JOB),
    Case("TTFTBurn", "all are in time", {IN_TIME: "0+100x90", FIRST: "0+100x90"}, 90, None,
         "page", JOB),
    Case("TTFTBurn", "3.4 % are late for 7 hours", {IN_TIME: "0+966x84", FIRST: "0+1000x84"},
         420, None, "page", JOB),
    Case("TTFTBurn", "all are late, but only 18 in the hour", {IN_TIME: "0x90", FIRST: "0+0.3x90"},
         90, None, "page", JOB),
    Case("TTFTBurn", "1.5 % are late for a day", {IN_TIME: "0+985x100", FIRST: "0+1000x100"},
         1500, LATE.format("1.5"), "ticket", JOB),
    Case("TTFTBurn", ".97 % are late for 3 days", {IN_TIME: "0+9903x294", FIRST: "0+10000x294"},
         4380, None, "ticket", JOB),
    Case("TargetDown", "it does not answer", _gauges(up="1x3 0x10"), 6,
         "one has not answered for a minute."),
    Case("TargetDown", "its name is gone from the DNS", {'up{job="prometheus"}': "1x10"}, 5,
         "No instance of the service was found for a minute.", labels=JOB),
    Case("TargetDown", "it answers", _gauges(up="1x10"), 6),
    Case("TargetDown", "it missed two scrapes of a quarter minute", _gauges(up="1x3 0 1x5"), 4.75),
    Case("NotReady", "it is loading for 6 minutes", _gauges(llm_ready="0x10"), 6,
         "one has not been ready for 5 minutes."),
    Case("NotReady", "it is ready", _gauges(llm_ready="1x10"), 6),
    Case("NotReady", "it is loading for just under 5 minutes", _gauges(llm_ready="0x10"), 4.75),
    Case("ServingStalled", "3 wait and nothing comes",
         _gauges(llm_requests_waiting="3x40", llm_output_tokens_total="9+3x12 45x28"), 7,
         "3 sequences wait on one, and none got a token for 2 minutes."),
    Case("ServingStalled", "3 wait and a token comes each minute",
         _gauges(llm_requests_waiting="3x40", llm_output_tokens_total="9+0.25x40"), 7),
    Case("ServingStalled", "nobody waits",
         _gauges(llm_requests_waiting="0x40", llm_output_tokens_total="9x40"), 7),
    Case("ServingStalled", "nothing comes for just under 2 minutes",
         _gauges(llm_requests_waiting="3x40", llm_output_tokens_total="9+3x12 45x28"), 4.75),
    Case("MidStreamErrors", "6 of them in 10 minutes", {BROKEN: "0x9 0 6x12"}, 15,
         "6 answers broke off in the last 10 minutes; their HTTP code was 200.", "ticket", JOB),
    Case("MidStreamErrors", "5 of them in 10 minutes", {BROKEN: "0x9 0 5x12"}, 15, None, "ticket",
         JOB),
    Case("MidStreamErrors", "none", {BROKEN: "0x20"}, 15, None, "ticket", JOB),
    Case("RateLimitSurge", "1.1 a second for 11 minutes", {REJECTED: "0+66x20"}, 11,
         "The key ada is refused 1.1 times a second because its limit is spent.", "ticket",
         ("job", "key_name")),
    Case("RateLimitSurge", "1 a second", {REJECTED: "0+60x20"}, 20, None, "ticket",
         ("job", "key_name")),
    Case("RateLimitSurge", "nobody is refused", {REJECTED: "0x20"}, 20, None, "ticket",
         ("job", "key_name")),
    Case("QueueNearFull", "90 % are taken",
         _gauges(llm_requests_waiting="9x10", llm_queue_capacity="10x10"), 4,
         "90% of the queue of one is taken.", "ticket"),
    Case("QueueNearFull", "80 % are taken",
         _gauges(llm_requests_waiting="8x10", llm_queue_capacity="10x10"), 4, None, "ticket"),
    Case("QueueNearFull", "the model is not loaded",
         _gauges(llm_requests_waiting="0x10", llm_queue_capacity="0x10"), 4, None, "ticket"),
    Case("KVCacheNearFull", "96 % are held", _gauges(
        llm_kv_cache_used_bytes="96x20", llm_kv_cache_capacity_bytes="100x20"), 12,
         "Sequences hold 96% of the KV cache of one.", "ticket"),
    Case("KVCacheNearFull", "95 % are held", _gauges(
        llm_kv_cache_used_bytes="95x20", llm_kv_cache_capacity_bytes="100x20"), 12, None, "ticket"),
    Case("KVCacheNearFull", "96 % are held for just under 10 minutes", _gauges(
        llm_kv_cache_used_bytes="96x20", llm_kv_cache_capacity_bytes="100x20"), 9.75, None,
         "ticket"),
    Case("MemoryNearLimit", "95 % are its own", _memory("950x20", "10x20"), 8,
         "one holds 95% of the memory that it may use."),
    Case("MemoryNearLimit", "90 % are its own", _memory("900x20", "10x20"), 8),
    Case("MemoryNearLimit", "the rest is mapped files", _memory("100x20", "890x20"), 8),
    Case("CPUThrottled", "a fifth of 2 cores is held back", _gauges(
        llm_cpu_throttled_seconds_total="0+24x30", llm_cpu_limit_cores="2x30"), 20,
         "one was held back for 20% of the CPU time of its quota.", "ticket"),
    Case("CPUThrottled", "a tenth of 2 cores is held back", _gauges(
        llm_cpu_throttled_seconds_total="0+12x30", llm_cpu_limit_cores="2x30"), 20, None, "ticket"),
    Case("CPUThrottled", "nothing is held back", _gauges(
        llm_cpu_throttled_seconds_total="0x30", llm_cpu_limit_cores="2x30"), 20, None, "ticket"),
    Case("RedisDown", "it is away", _gauges(llm_redis_up="1 0x10"), 4,
         "one has not reached Redis for a minute: each process counts limits for itself.",
         "ticket"),
    Case("RedisDown", "it is there", _gauges(llm_redis_up="1x10"), 4, None, "ticket"),
    Case("RedisDown", "it is away for just under a minute", _gauges(llm_redis_up="1x3 0x10"), 4.75,
         None, "ticket"),
]  # fmt: skip
