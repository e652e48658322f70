# `make` alone says what there is. Needs Python 3.11 or newer, git and make, nothing else.

VENV ?= .venv
PORT ?= 8000
CHAPTERS ?=
export VENV

# what runs the tools once the environment is there
python = $(VENV)/bin/python
# what makes it: PYTHON=… if given, else the first one that is new enough
setup = python=$$(sh tools/find_python.sh $(PYTHON)) && "$$python" tools/setup_env.py

# one thread per process and no GPU, as when the outputs were stored; see conftest.py
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help book serve test lint execute bench lock clean

help: ## what there is
	@echo "Convolutional Networks, Paper by Paper"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: ## build the website into _build/html
	@$(setup) book
	@$(python) -m tools.build_site

serve: book ## show the website on this machine (PORT=8000)
	@$(python) -m tools.serve $(PORT)

test: ## run every test: units, chapters, website
	@$(setup) test
	@$(python) -m tools.build_site
	@$(python) -m pytest --nbval -n 2 --dist=loadscope -m "" \
	  && echo "make test: all passed: the library, every chapter, the website." \
	  || { echo "make test: something failed, see above."; exit 1; }

lint: ## check style, types, imports and spelling
	@$(setup) python
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m pyright
	$(VENV)/bin/lint-imports
	$(python) -m codespell_lib

execute: ## run chapters and store their outputs (CHAPTERS="chapters/01_lenet.ipynb …")
	@$(setup) python
	$(python) -m tools.execute $(CHAPTERS)

bench: ## measure our networks beside others
	@$(setup) python
	@for script in benchmarks/*.py; do echo "$$script"; $(python) $$script || exit 1; done

lock: ## renew requirements.txt (UPGRADE=1: with the newest versions)
	@$(setup) book
	@$(python) -m pip install --quiet --target _build/uv uv
	@_build/uv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	  --group book --group test --group lint --extra download --extra onnx --extra pretrained --extra search --extra tables --extra tensorboard $(if $(UPGRADE),--upgrade) \
	  --custom-compile-command "make lock" --output-file requirements.txt
	@echo "requirements.txt is renewed; make test says whether it works."

clean: ## delete what was built (the environment stays)
	rm -rf _build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './node_modules/*' -prune -exec rm -rf {} +
