# Two commands do everything on a machine with Python 3.11 and a package index:
#   make reproduce   train all methods on the embedded data set, print the table, write the report
#   make test        run the tests; "make quick" those of a minute, "make journeys" those that go a
#                    whole way in many processes, "make test-slurm" those on a real Slurm (root)
PYTHON ?= python3.11
VENV ?= .venv
# Another torch than the pinned one: make test TORCH=2.9.1 VENV=.venv-2.9.1
TORCH ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ZOO := $(VENV)/.zoo
DOCS := $(VENV)/.docs
PINS := $(VENV)/constraints.txt
RECORDS ?= records
OUT ?= out

export OMP_NUM_THREADS ?= 1

.PHONY: environment reproduce test quick journeys campaign zoo test-slurm lint docs pictures figures dist lowest bench bench-check clean

environment: $(READY)

reproduce: $(READY)
	$(BIN)/napts run studies/digits.toml --records $(RECORDS) --report $(OUT)

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slurm and not bench and not journey" --ignore tests/zoo $(ARGS)

# What a developer runs all day: no processes, pictures or long training.
quick: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not slow and not slurm and not bench and not journey" --ignore tests/zoo $(ARGS)

# Whole ways in processes of their own: the installed wheel, own code, sweeps on this machine, kills.
journeys: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "journey and not slurm" --ignore tests/zoo $(ARGS)

# Faults drawn from a seed: kills, full disks, mutated specs, damaged records, hostile labels, odd
# servers; the short form. The long ones: python -m tests.campaign PART --seed S --count N.
campaign: $(READY)
	$(BIN)/python -m tests.campaign all $(ARGS)

# Models of torchvision, timm and transformers with random weights, and training loops around them.
zoo: $(ZOO)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m zoo tests/zoo $(ARGS)

test-slurm: $(READY)
	slurm/local_cluster.sh install
	$(BIN)/python -m pytest -m slurm $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The site, into docs/_build; whatever Sphinx warns of is an error.
docs: $(DOCS)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build $(ARGS)

# All asv suites on the commit that is checked out (about 40 minutes), then the overhead table.
bench: $(READY)
	$(BIN)/asv machine --yes
	$(BIN)/asv run --python=same --launch-method spawn --set-commit-hash $$(git rev-parse HEAD) $(ARGS)
	$(BIN)/python -m benchmarks.overhead

bench-check: $(READY)
	$(BIN)/asv check --python=same
	$(BIN)/python -m benchmarks.counters
	$(BIN)/python -m pytest -m bench $(ARGS)

# Archives of a release, tried in empty environments: make dist VERSION=0.2.0
dist: $(READY)
	PYTHON=$(PYTHON) .ci/dist $(VERSION)

# The quick tests and the site with the lowest versions that pyproject.toml allows, in an environment
# of its own.
lowest: $(READY)
	$(BIN)/python -m tests.packaging.lowest $(if $(TORCH),torch torchvision) > $(VENV)/lowest.txt
	$(if $(TORCH),grep -E '^torch(vision)?==' constraints.txt >> $(VENV)/lowest.txt)
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --disable-pip-version-check -c $(VENV)/lowest.txt -e '.[dev,docs]'
	$(VENV)-lowest/bin/python -m sphinx -W --keep-going -q -b html docs $(VENV)-lowest/docs
	$(VENV)-lowest/bin/python -m pytest -n 2 --dist worksteal -q -m "not slow and not slurm and not bench and not journey and not browser" --ignore tests/zoo $(ARGS)

# The pictures that README and docs show, from the committed records, after a look at what they say.
pictures: $(READY)
	$(BIN)/python -m tests.pictures $(ARGS)

# Every figure, table and the page of the committed records, packed: what a release has beside it.
figures: $(READY)
	rm -rf $(OUT)/figures
	$(BIN)/napts report all reports/records --out $(OUT)/figures
	tar -czf $(OUT)/figures.tar.gz -C $(OUT) figures

clean:
	rm -rf $(VENV) $(VENV)-lowest dist docs/_build .pytest_cache .ruff_cache .hypothesis .asv *.egg-info

$(READY): pyproject.toml setup.py constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; set PYTHON=..., Python 3.11 or newer"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	sed -e "" $(if $(TORCH),-e 's/^torch==.*/torch==$(TORCH)/' -e '/^torchvision==/d') constraints.txt > $(PINS)
	$(BIN)/python -m pip install --disable-pip-version-check -c $(PINS) -e '.[dev,bench]'
	@touch $@

$(ZOO): $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check -c $(PINS) -e '.[dev-zoo]'
	@touch $@

$(DOCS): $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check -c $(PINS) -e '.[docs]'
	@touch $@
