"""For ASGI servers: `uvicorn --no-proxy-headers llm_service.main:app`.

`llm-service serve` does more: it drains, prints the first key, and says why a model does
not load. Without `--no-proxy-headers` uvicorn believes X-Forwarded-For from this machine.
"""

from llm_service.app import create_app
from llm_service.config import Settings
from llm_service.observability.logging import configure_logging

settings = Settings()
configure_logging(settings.log_level, settings.log_format)
app = create_app(settings)
