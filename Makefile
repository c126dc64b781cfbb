# Everything runs in .venv, which tools/setup_env.sh makes from setup.cfg and leaves alone while setup.cfg stays as it is.
#   PYTHON=/path/to/python3.12   the interpreter to make .venv from, if not the first one found
#   PYTEST_ARGS="-k vectors"     for pytest
.DEFAULT_GOAL := help
.NOTPARALLEL:
# Where this is set, every process compiles torch and transformers anew, two seconds each time.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test check format jar clean env env-test

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1 /p' Makefile | while read -r target what; do printf 'make %-8s %s\n' "$$target" "$$what"; done

demo: env ## index, search, explain and evaluate Python's own documentation
	.venv/bin/splade-lucene demo

test: check ## check, then all tests that need neither network nor GPU
	.venv/bin/python -m pytest $(PYTEST_ARGS)

check: env-test ## lint, formatting and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: env-test ## format the code, mend what ruff can mend
	.venv/bin/ruff check --fix-only .
	.venv/bin/ruff format .

jar: env ## compile the Java sources into the package's jar (needs a JDK)
	.venv/bin/python tools/build_jar.py

clean: ## remove build products and caches; .venv stays
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

env:
	@sh tools/setup_env.sh

env-test:
	@sh tools/setup_env.sh test
