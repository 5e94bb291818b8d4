# The service's images: `service` for docker compose, `all-in-one` with the dashboard inside.
# Build arguments, all of which may be empty:
#   TORCH_INDEX   package index to take torch from; PyTorch's CPU index makes a small image
#   PIP_INDEX     package index for all other Python packages
#   NPM_REGISTRY  registry for the dashboard's packages (all-in-one only)

FROM python:3.11-slim AS torch-version
COPY requirements.txt .
RUN grep '^torch==' requirements.txt >torch.txt

FROM python:3.11-slim AS packages
ARG TORCH_INDEX=""
ARG PIP_INDEX=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /opt/venv
# Apart from the rest, which changes more often and is a tenth of the size. What torch is
# compiled and tested with is of no use here.
COPY --from=torch-version torch.txt .
RUN --mount=type=cache,target=/root/.cache \
    /opt/venv/bin/pip install --quiet ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -r torch.txt \
 && rm -rf /opt/venv/lib/python3*/site-packages/torch/test /opt/venv/lib/python3*/site-packages/torch/include
COPY requirements.txt .
# pip is not needed after this, and what is not there cannot be misused.
RUN --mount=type=cache,target=/root/.cache \
    /opt/venv/bin/pip install --quiet ${PIP_INDEX:+--index-url "$PIP_INDEX"} -r requirements.txt \
 && /opt/venv/bin/pip uninstall --quiet --yes pip setuptools

# The compute kernels, for each kind of CPU: the image has no compiler.
FROM python:3.11-slim AS kernels
RUN apt-get update -qq \
 && apt-get install -qq --yes --no-install-recommends g++ >/dev/null \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /kernels
COPY llm_service/engine/kernels/build.py ./
COPY llm_service/engine/kernels/csrc/ csrc/
RUN python3 build.py lib

FROM node:20-slim AS dashboard
ARG NPM_REGISTRY=""
WORKDIR /dashboard
COPY dashboard/package.json dashboard/package-lock.json dashboard/.npmrc ./
RUN --mount=type=cache,target=/root/.npm \
    npm ci --no-audit --no-fund --loglevel=error ${NPM_REGISTRY:+--registry "$NPM_REGISTRY"}
COPY CHANGELOG.md /
COPY dashboard/ ./
RUN npm run --silent build

FROM python:3.11-slim AS service
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin llm \
 && install -d -o llm -g llm -m 700 /state /cache \
 && install -d -o llm -g llm -m 755 /run/secrets/llm
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY LICENSE docker/healthcheck.py docker/make_secrets.py ./
COPY --chmod=755 docker/llm-service /usr/local/bin/llm-service
COPY docs/ docs/
COPY models/ models/
COPY llm_service/ llm_service/
COPY --from=kernels /kernels/lib/ llm_service/engine/kernels/lib/
RUN /opt/venv/bin/python -m compileall -q llm_service
# HOME: some libraries want to keep a file there, and the root file system is read-only.
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp HF_HOME=/cache LLM_STATE_DIR=/state LLM_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
VOLUME /state /cache
# It is ready once the model is loaded; before that, failed checks do not count. A model from
# the hub may take this long to come.
HEALTHCHECK --interval=5s --timeout=5s --retries=6 --start-period=30m CMD ["python", "-I", "healthcheck.py"]
ENTRYPOINT ["llm-service"]
CMD ["serve"]

FROM service AS all-in-one
COPY --from=dashboard /dashboard/dist dashboard/dist
ENV LLM_PORT=8080
EXPOSE 8080

# What a build without --target makes.
FROM service
