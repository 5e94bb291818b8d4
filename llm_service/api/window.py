"""The query parameters `start` and `end`: a time window in the past."""

import time
from typing import Annotated

from fastapi import Depends, Query

from llm_service.errors import InvalidRequest
from llm_service.observability.prometheus import MAX_RANGE_SECONDS
from llm_service.observability.request_ring import TimeWindow

_END_OF_TIME = 253402300799  # the last second that a datetime can hold
MIN_SECONDS = 1

UnixSeconds = Annotated[
    float | None, Query(ge=0, le=_END_OF_TIME, allow_inf_nan=False, description="In unix seconds.")
]


def time_window(start: UnixSeconds = None, end: UnixSeconds = None) -> TimeWindow | None:
    """None if neither is given. An `end` in the future is now. Raises InvalidRequest."""
    if start is None and end is None:
        return None
    if start is None or end is None:
        missing = "start" if start is None else "end"
        raise InvalidRequest("start and end must be sent together.", param=missing)
    now = time.time()
    if start > now:
        raise InvalidRequest("start lies in the future.", param="start")
    if not MIN_SECONDS <= end - start <= MAX_RANGE_SECONDS:
        raise InvalidRequest(
            f"end must be {MIN_SECONDS} to {MAX_RANGE_SECONDS} seconds after start.", param="end"
        )
    return TimeWindow(start, min(end, now))


WindowDep = Annotated[TimeWindow | None, Depends(time_window)]
