# `make demo` and `make test` set everything up; both are safe to repeat and quick the second time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
STAMP := .venv/.ready-$(shell cat pyproject.toml constraints.txt .ci/setup runtime/crop.c | sha256sum | cut -c1-16)
WORKERS ?= 2
# Bytecode is kept even where the environment says otherwise: a second run starts in seconds.
export PYTHONDONTWRITEBYTECODE :=
# What opens a window runs under a virtual screen where there is no other.
DISPLAYED := $(if $(DISPLAY)$(WAYLAND_DISPLAY),,xvfb-run -a -s "-screen 0 1920x1080x24")

.PHONY: help setup demo test check unit soak bench mediapipe-envs check-mediapipe clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP) ## virtual environment, Debian packages, pinned Python packages, MediaPipe's models

$(STAMP): pyproject.toml constraints.txt .ci/setup runtime/crop.c
	bash .ci/setup
	@touch $@

demo: $(STAMP) ## the whole loop once, about ten minutes; writes demo/report.html
	.venv/bin/viewfinder demo --out demo

test: check unit ## linters, types, import contracts, then every test

check: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/mypy

unit: $(STAMP)
	$(PYTHON) -m pytest -n $(WORKERS) --dist loadfile -m "not long"

soak: $(STAMP) ## long tests: kills, trainings, parity of prepared assets
	$(PYTHON) -m pytest -m long

bench: $(STAMP) ## speed against the floors, on an idle machine; writes benchmarks/results/*.json
	mkdir -p benchmarks/results
	$(PYTHON) benchmarks/render.py --count 64 --out benchmarks/results/render.json
	$(PYTHON) benchmarks/render.py --count 32 --preset final --out benchmarks/results/render_final.json
	$(PYTHON) benchmarks/render_quality.py --count 8 --out benchmarks/results/render_quality.json
	$(PYTHON) benchmarks/render_faces.py --count 64 --out benchmarks/results/render_faces.json
	$(PYTHON) benchmarks/hands_mediapipe.py --count 300 --out benchmarks/results/hands_mediapipe.json
	$(PYTHON) benchmarks/bodies_mediapipe.py --count 200 --out benchmarks/results/bodies_mediapipe.json
	$(PYTHON) -m benchmarks.sessions --count 3 --size 480x640 --frames 20 --out benchmarks/results/sessions
	$(PYTHON) benchmarks/runtime.py --out benchmarks/results/runtime.json
	$(PYTHON) benchmarks/cuboids.py --out benchmarks/results/cuboids.json
	$(PYTHON) benchmarks/footprint.py --install --out benchmarks/results/footprint.json
	$(DISPLAYED) $(PYTHON) benchmarks/annotate.py --out benchmarks/results/annotate.json

# MediaPipe is never installed into .venv: these environments are for comparing with it.
MEDIAPIPE := .envs/mediapipe-0.10.14/.ready .envs/mediapipe-1.2.2/.ready

mediapipe-envs: $(MEDIAPIPE) ## MediaPipe 0.10.14 and 1.2.2 in environments of their own, 1.6 GB

# Compiled against NumPy 1, which its package doesn't say.
.envs/mediapipe-0.10.14/.ready: WITH := 'numpy<2'

.envs/mediapipe-%/.ready:
	$(PYTHON) -m venv .envs/mediapipe-$*
	.envs/mediapipe-$*/bin/python -m pip install --quiet --disable-pip-version-check mediapipe==$* $(WITH)
	@touch $@

check-mediapipe: $(STAMP) .envs/mediapipe-1.2.2/.ready ## our answers against MediaPipe 1.2.2's; PICTURES=folder
	$(PYTHON) -m tests.runtime.check_mediapipe $(PICTURES)

clean: ## remove the environment and everything made
	rm -rf .venv demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
