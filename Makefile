# SPDX-License-Identifier: GPL-3.0-or-later
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# A collection may have them elsewhere, which molecule would rather have.
export MOLECULE_GLOB := molecule/*/molecule.yml
SHELL := /bin/sh

.PHONY: help setup demo down test test-all lint unit lab-test molecule bench campaign reference format ee matrix
.DEFAULT_GOAL := help

# Which of the lab's tests are run, by the markers of pyproject.toml.
SELECT ?= not thorough and not long

# How many random faults a campaign has. SEED, if set, says which.
COUNT ?= 200

help:
	@echo 'make demo      build a cluster on an emulated cloud, cut the power of its active node, watch the VIPs come back'
	@echo 'make test      lint, unit tests, and the end-to-end tests in the lab'
	@echo 'make molecule  the scenarios of the roles; SCENARIOS=--help for options'
	@echo 'make test-all  the tests with the known failures one by one, outages, and every scenario on every release (hours)'
	@echo 'make bench     against the OCI CLI, ocivip and a tutorial, in the lab (15 minutes; BENCH=--help for options)'
	@echo 'make campaign  long outages, many flaps and freezes, then random faults (hours; COUNT=50: so many, SEED=7: the same again)'
	@echo 'make down      remove the lab'
	@echo 'also: setup lint unit lab-test matrix ee reference format'

setup:
	@tools/bootstrap

demo: setup
	lab up
	ansible-playbook site.yml -i inventory/lab
	lab drill kill
	@echo
	@echo 'Next: lab status | lab drill freeze | lab exec vr1 -- pcs status | ansible-playbook playbooks/status.yml -i inventory/lab'
	@echo 'Add a VIP to inventory/lab/group_vars/vrouters.yml and run ansible-playbook again. make down removes the lab.'
	@echo '(The commands are in .venv/bin: . .venv/bin/activate)'

down: setup
	lab down

test: setup lint unit lab-test

test-all: SELECT =
test-all: SCENARIOS = --every
test-all: test molecule

lint:
	ruff check .
	ruff format --check .
	mypy
	vermin --no-tips --quiet --target=3.6- --violations roles/vip_agent/files/lib \
	  plugins/modules/[!o]*.py $(addprefix plugins/module_utils/_,cib.py packet_filter.py vnics.py)
	yamllint --strict .
	ansible-lint --offline
	antsibull-changelog lint
	tools/reference.py --check
	pre-commit validate-config
	shellcheck tools/bootstrap .ci/run lab/nodes/rootfs/*.sh lab/nodes/enterprise/*.sh
	codespell

unit:
	pytest --numprocesses 2 --dist worksteal tests/unit tests/collection

lab-test:
	pytest --tb=short -ra -m '$(SELECT)' tests/lab

# All on the default release, and those of the engines on every Debian release.
molecule: setup
	tools/scenarios.py $(SCENARIOS)

bench: setup
	python -m bench $(BENCH)

# The tests come first: they build clusters of their own, and take the lab away at their end.
campaign: setup
	pytest --tb=short -ra tests/lab/test_outages.py --outage 300
	pytest --tb=short -ra tests/lab/test_keepalived_pair.py -k 'flap or breaks or still' --flaps 1000 --freezes 100
	lab up
	ansible-playbook site.yml -i inventory/lab
	lab campaign --count $(COUNT) $(if $(SEED),--seed $(SEED))

# Every ansible-core that is supported, each with a Python that it runs on. Those that PATH lacks are left out.
matrix:
	tools/matrix.py

# What an execution environment is built from; no image is pulled or built.
ee:
	rm -rf .cache/ee
	ansible-galaxy collection build --output-path .cache/ee
	mv .cache/ee/cloudvip-ha-*.tar.gz .cache/ee/cloudvip-ha.tar.gz
	ansible-builder create --file execution-environment.yml --context .cache/ee/context
	@echo 'Next: podman build --tag cloudvip-ee .cache/ee/context'

reference:
	tools/reference.py

format:
	ruff check --fix .
	ruff format .
