# remora: `make demo` shows it, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
ENGINE := settings=$$(tools/engine env) && eval "$$settings"

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

env: ## the Python environment: .venv/bin/remora is the command
	@tools/env

engine: ## an engine that answers, and the base image on it
	@tools/engine up && tools/base-image

demo: env engine ## the example in production, on one screen; it is left running
	@$(ENGINE) && $(PYTHON) tools/demo.py up

demo-down: env ## end the demo
	@$(ENGINE) && $(PYTHON) tools/demo.py down

check: env ## format, lint, types, walls between rooms, unit tests: no engine needed
	@.venv/bin/ruff format --check -q .
	@.venv/bin/ruff check -q .
	@.venv/bin/mypy
	@.venv/bin/lint-imports > .venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@.venv/bin/pytest -q -n auto tests/unit

test: check engine ## every test, those on a real engine too
	@tools/test-tools && $(ENGINE) && .venv/bin/pytest -m engine tests
	@tools/podman up && settings=$$(tools/podman env) && eval "$$settings" && .venv/bin/pytest -m podman tests/engine

soak: env engine ## the long runs, whole
	@$(ENGINE) && REMORA_SOAK=1 .venv/bin/pytest -m soak -s tests
	@tools/podman up && settings=$$(tools/podman env) && eval "$$settings" && \
		.venv/bin/pytest -m engine tests/engine/test_following.py tests/engine/test_attaching.py

recordings: env ## record anew what the engine that DOCKER_HOST names tells and shows, or of some lives: make recordings L="stop oom"
	@$(ENGINE) && $(PYTHON) tests/recordings/record.py $(L)

bench: env engine ## every figure, or those of one script: make bench B=NAME
	@$(ENGINE) && for script in $(if $(B),bench/$(B).py,bench/[a-z]*.py); do $(PYTHON) $$script || exit 1; done

docs: env ## write the pages that are made from the code
	@$(PYTHON) tools/docs.py

engine-down: ## stop the private engine, where one was started
	@tools/podman down
	@tools/engine down

.PHONY: help env engine demo demo-down check test soak recordings bench docs engine-down
