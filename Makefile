# `make run` and `make test` do all their own set-up. Variables:
#   PYTHON       interpreter to build .venv with (3.11 or newer)
#   DEMO         options of `make demo`: --url, --key, --seconds
#   GPU          options of `make gpu-check`: --wheels, --out, --only, --minutes, --device, --shapes
#   BENCH        options of `make bench-versus`: --checkpoint, --ours, --theirs, --measure
#   CLIENTS      names for `make test-clients`: openai_python, ai_sdk_node, ...
#   TORCH_INDEX  package index to take torch from; PyTorch's CPU index makes a small install
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
WITH_NODE := scripts/with-node.sh

.DEFAULT_GOAL := help
.PHONY: help run test test-small gpu-check fuzz attack test-truth test-browser test-clients test-models sanitize lint format types imports dashboard demo grafana screenshots openapi model bench-versus bench-service paper up down key logs test-stack clean

help: ## List these commands
	@grep -E '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: .venv/.run dashboard/dist/index.html ## Set up what is missing, then start the service
	@exec $(BIN)/llm-service serve

test: .venv/.dev dashboard/dist/index.html ## Run the tests
	@scripts/test-tools.sh
	$(WITH_NODE) npm --prefix dashboard run --silent typecheck
	$(WITH_NODE) npm --prefix dashboard run --silent lint
	$(WITH_NODE) npm --prefix dashboard run --silent test
	$(WITH_NODE) npm --prefix dashboard run --silent size
	$(BIN)/python -m pytest -m "not slow and not stack" -n 2 --dist loadfile --no-loadscope-reorder

# Another kind of machine, as far as this one can be one. KERNELS: avx512, avx2, portable or none.
KERNELS ?= portable
test-small: .venv/.dev dashboard/dist/index.html ## Run the Python tests with other kernels on one core: KERNELS=none
	@scripts/test-tools.sh
	LLM_KERNELS=$(KERNELS) scripts/on-one-core.sh $(BIN)/python -m pytest -m "not slow and not stack and not browser"

gpu-check: ## Check and measure the engine on a GPU, in 8 minutes (docs/benchmarks.md)
	@$(PYTHON) -m scripts.gpu_check $(GPU)

fuzz: .venv/.dev ## 2,000 requests made from the OpenAPI schema (minutes)
	$(BIN)/python -m pytest -m slow tests/api/test_schema.py

attack: .venv/.dev ## Attack a service of its own at full size, 127.0.0.1 only (minutes; docs/security.md)
	$(BIN)/python -m tests.attack

test-truth: .venv/.dev ## Compare what the pages show with what callers and the kernel saw (2 minutes)
	$(BIN)/python -m tests.truth

test-browser: .venv/.dev dashboard/dist/index.html ## Every page in every state, in Chromium (9 minutes)
	@scripts/test-tools.sh
	$(BIN)/python -m pytest -m browser tests/test_dashboard.py

test-clients: .venv/.dev ## Official client libraries against the service, each in its own environment (minutes)
	$(BIN)/python -m tests.clients $(CLIENTS)

test-models: .venv/.dev ## Every architecture as a tiny model beside generate; writes docs/models.md (15 minutes)
	rm -rf build/models
	$(BIN)/python -m pytest -m models tests/strangers

sanitize: .venv/.dev ## Run the kernels' tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/sanitize.sh

CSRC := $(wildcard llm_service/engine/kernels/csrc/*)
lint: .venv/.dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(CSRC)

format: .venv/.dev ## Rewrite to the format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CSRC)

types: .venv/.dev ## Check types
	$(BIN)/mypy

imports: .venv/.dev ## Check that imports point one way
	$(BIN)/lint-imports --no-cache

dashboard: dashboard/dist/index.html ## Build the dashboard

openapi: .venv/.dev dashboard/node_modules/.package-lock.json ## Write the API's schema, the dashboard's types from it, and docs/parameters.md
	$(BIN)/python -m scripts.openapi
	$(BIN)/python -m scripts.parameters
	$(WITH_NODE) npm --prefix dashboard run --silent types

demo: .venv/.run ## Show each feature of a running service in two minutes of load: LLM_KEY=... make demo
	@$(BIN)/python scripts/demo.py $(DEMO)

grafana: .venv/.run ## Write Grafana's dashboards from their tables
	$(BIN)/python -m grafana.build

screenshots: .venv/.dev dashboard/dist/index.html ## Take the README's pictures from a running service
	$(WITH_NODE) npm --prefix dashboard run --silent screenshots

model: .venv/.dev ## Train the bundled model again (about two hours on two cores)
	$(BIN)/python -m models.pocket.train

bench-versus: .venv/.dev ## Measure against peers (hours; docs/benchmarks.md): BENCH="--theirs llama_cpp:q8_0"
	@$(BIN)/python -m benchmarks.versus $(BENCH)

bench-service: .venv/.dev ## Time to ready, memory and streams of the service on the bundled model
	@$(BIN)/python -m benchmarks.service_load

paper: .venv/.dev ## Bring research_paper.md up to date with benchmarks/results
	@$(BIN)/python -m benchmarks.paper

up: ## Build and start the stack in containers (docs/deploy.md); SERVICES=... for a part of it
	@scripts/stack-up.sh $(SERVICES)

down: ## Stop the stack and keep its data
	docker compose down

key: ## Show the stack's key and Grafana's password
	@docker compose run --rm --no-deps secrets

logs: ## Follow the stack's logs
	docker compose logs --follow --tail 50

test-stack: .venv/.dev ## Test the stack, where there is a container engine
	@scripts/test-stack.sh

clean: ## Remove what was built, not the state
	rm -rf .venv dashboard/node_modules dashboard/dist build *.egg-info

.venv/.run: requirements.txt pyproject.toml
	PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" scripts/make-venv.sh requirements.txt
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt requirements-dev-models.txt
	PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" scripts/make-venv.sh requirements-dev.txt
	@touch $@

dashboard/node_modules/.package-lock.json: dashboard/package-lock.json | .venv/.run
	$(WITH_NODE) npm --prefix dashboard ci --no-audit --no-fund --loglevel=error
	@touch $@

DASHBOARD_SOURCES := $(shell find dashboard/src dashboard/public dashboard/*.ts dashboard/index.html CHANGELOG.md -type f 2>/dev/null)
dashboard/dist/index.html: dashboard/node_modules/.package-lock.json $(DASHBOARD_SOURCES)
	$(WITH_NODE) npm --prefix dashboard run --silent build
	@touch $@
