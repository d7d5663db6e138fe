# Every target sets the course up first; once done this costs a moment. bootstrap.py tells how.

PYTHON ?= python3
BIN := .venv/bin

# A plotting backend chosen outside would take the figures out of the notebooks.
unexport MPLBACKEND
.NOTPARALLEL:
.PHONY: help course lab data test test-fast test-full outputs html setup lint

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'PYTHON=python3.12 picks the Python. TORCH_INDEX=URL adds an index with a smaller build of PyTorch (README).'

course: data ## set up, run every lesson and show what came out
	@$(BIN)/course run

lab: data ## open the course in JupyterLab
	@cd notebooks && PATH="$(CURDIR)/$(BIN):$$PATH" jupyter lab 00_start_here.ipynb

data: setup ## fetch the data sets
	@$(BIN)/course data

test: lint data ## everything CI checks, about fifty minutes
	@$(BIN)/python -m pytest

test-fast: lint data ## the quick checks, three minutes
	@$(BIN)/python -m pytest -m "not slow and not full"

test-full: lint data ## every check there is
	@$(BIN)/python -m pytest -m ""

# Two threads, no GPU, no times, no random ids: the same files on every run (course_lib/outputs.py).
outputs: data ## run the lessons and store their outputs in them, as committed
	@OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 CUDA_VISIBLE_DEVICES= \
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False \
		--ExecutePreprocessor.timeout=900 \
		--NotebookExporter.preprocessors=course_lib.outputs.Committed notebooks/[0-9][0-9]_*.ipynb
	@$(BIN)/python -m course_lib.outputs
	@$(BIN)/python -m course_lib.glossary

html: setup ## the course as a web site that needs no network: build/html
	@$(BIN)/python docs/html/build.py

setup:
	@$(PYTHON) bootstrap.py

lint: setup
	@$(BIN)/ruff check && $(BIN)/ruff format --check
