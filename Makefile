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

.PHONY: help setup demo models test check unit soak bench mediapipe-envs check-mediapipe clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP) ## virtual environment, Debian packages, pinned Python packages, MediaPipe's models

$(STAMP): pyproject.toml constraints.txt .ci/setup runtime/crop.c
	bash .ci/setup
	@touch $@

demo: $(STAMP) ## the whole loop once, about ten minutes; writes demo/report.html
	.venv/bin/viewfinder demo --out demo

# What the bundled models are made of, about ten hours on two cores; they gain from more of anything.
# All but the face detector begin as lite networks, which learn more in the same time, and go on as full ones.
# A render or training that was stopped goes on where it was.
FACES ?= 3968
HANDS ?= 6400
BODIES ?= 884
MODELS ?= build/models
INTO ?= runtime/data
FACE_LITE_STEPS ?= 23000
FACE_STEPS ?= 27100
HAND_LITE_STEPS ?= 14000
HAND_STEPS ?= 14800
FACE_DETECTOR_STEPS ?= 16000
PALM_DETECTOR_LITE_STEPS ?= 33500
PALM_DETECTOR_STEPS ?= 11000
BOTH := --data $(MODELS)/faces --data $(MODELS)/hands
ALL := $(BOTH) --data $(MODELS)/bodies

models: $(STAMP) ## render, train and pack the bundled models anew: hours on two cores; FACES=, HANDS=, BODIES=, *_STEPS=, INTO=
	mkdir -p $(MODELS)
	.venv/bin/viewfinder render hands --out $(MODELS)/hands --count $(HANDS) --seed 4001
	.venv/bin/viewfinder render faces --out $(MODELS)/faces --count $(FACES) --seed 4002 --shard-size 128
	.venv/bin/viewfinder render bodies --out $(MODELS)/bodies --count $(BODIES) --seed 4003 --size 384 --upper 0.8
	$(call trained,face-lite,face $(BOTH),$(FACE_LITE_STEPS))
	$(call trained,face-detector,detector --kind face $(BOTH),$(FACE_DETECTOR_STEPS))
	$(call trained,face,face $(BOTH) --size full --from $(MODELS)/face-lite.task --detector $(MODELS)/face-detector.task,$(FACE_STEPS))
	$(call trained,palm-detector-lite,detector --kind palm $(ALL),$(PALM_DETECTOR_LITE_STEPS))
	$(call trained,palm-detector,detector --kind palm $(ALL) --size full --from $(MODELS)/palm-detector-lite.task,$(PALM_DETECTOR_STEPS))
	$(call trained,hand-lite,hand $(ALL),$(HAND_LITE_STEPS))
	$(call trained,hand,hand $(ALL) --size full --from $(MODELS)/hand-lite.task --detector $(MODELS)/palm-detector.task,$(HAND_STEPS))
	$(PYTHON) -m bootstrap.shipping $(MODELS) --faces $(MODELS)/faces --hands $(MODELS)/hands --into $(INTO)

# name, network and data, steps: made unless it is there; from its checkpoint where there is one.
trained = test -f $(MODELS)/$(1).fp16.task || .venv/bin/viewfinder train $(2) --steps $(3) --also fp16 \
	--out $(MODELS)/$(1).task $$(test -f $(MODELS)/$(1).checkpoint.safetensors && echo --resume)

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
	$(PYTHON) benchmarks/models.py --out benchmarks/results/models.json
	$(PYTHON) benchmarks/cuboids.py --out benchmarks/results/cuboids.json
	$(PYTHON) -m benchmarks.boxes --out benchmarks/results/boxes
	$(PYTHON) benchmarks/footprint.py --install --out benchmarks/results/footprint.json
	$(PYTHON) benchmarks/annotate_boxes_people.py --out benchmarks/results/annotate_boxes_people.json
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
