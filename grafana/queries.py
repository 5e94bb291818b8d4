"""The shapes of PromQL that the dashboards use: of this service's instances and models only."""

INSTANCES = 'job="llm_service",instance=~"$instance"'
MODELS = f'{INSTANCES},model=~"$model"'
WINDOW = "[$__rate_interval]"


def gauge(name: str, labels: str = MODELS, by: str = "") -> str:
    return f"sum{_by(by)}({name}{{{labels}}})"


def rate(name: str, labels: str = MODELS, by: str = "") -> str:
    return f"sum{_by(by)}(rate({name}{{{labels}}}{WINDOW}))"


def ratio(over: str, under: str) -> str:
    """No sample, rather than NaN, where nothing happened below."""
    return f"{over} / ({under} > 0)"


def mean(histogram: str, labels: str = MODELS) -> str:
    return ratio(rate(f"{histogram}_sum", labels), rate(f"{histogram}_count", labels))


def quantile(of: float, histogram: str, labels: str = MODELS, by: str = "le") -> str:
    """`>= 0` drops NaN, which is how PromQL says that nothing was observed."""
    return f"histogram_quantile({of}, {rate(f'{histogram}_bucket', labels, by)}) >= 0"


def quantiles(histogram: str, labels: str = MODELS) -> list[tuple[str, str]]:
    return [(quantile(q, histogram, labels), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)]


def buckets(histogram: str, labels: str = MODELS) -> str:
    return f"sum by (le) (increase({histogram}_bucket{{{labels}}}{WINDOW}))"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
