# make demo   train all models on the embedded sample, write submission and report
# make check  lint, types of the public surface (make types) and the fast tests: under two minutes on two quiet cores
# make test   all tests          make lint   ruff and the layers        make notebooks   regenerate and execute the notebooks
# make kaggle the full profile on frames like the competition's, then README's cells on Kaggle's image (Linux, root)
# Each makes .venv first where it is missing; a second call skips that.

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready

.PHONY: demo check types test kaggle lint notebooks figures clean

demo: $(READY)
	$(PY) Final_codes/run_all.py --output outputs/demo

check: lint types
	OMP_NUM_THREADS=1 $(PY) -m pytest -m "not slow and not real_data" -n 2 --dist loadfile

types: $(READY)
	$(PY) -m mypy

test: $(READY)
	$(PY) -m pytest

kaggle: $(READY)
	$(PY) Final_codes/tests/kaggle/full_profile.py
	$(PY) Final_codes/tests/kaggle/readme_cells.py

lint: $(READY)
	$(PY) -m ruff check .
	.venv/bin/lint-imports

notebooks: $(READY)
	$(PY) Final_codes/notebook_sources/build.py --sample small

figures: $(READY)
	$(PY) Final_codes/tools/gallery --run outputs/demo --output Visuals

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 10) else "Pixel Play needs Python 3.10 or newer; set PYTHON=/path/to/python3")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv outputs
