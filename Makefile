# SPDX-License-Identifier: GPL-3.0-or-later
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
SHELL := /bin/sh

.PHONY: help setup demo down test test-all lint unit lab-test bench campaign reference format
.DEFAULT_GOAL := help

# Which of the lab's tests are run, by the markers of pyproject.toml.
SELECT ?= not failures and not long

# How many random faults a campaign has. SEED, if set, says which.
COUNT ?= 200

help:
	@echo 'make demo      build a cluster on an emulated cloud, cut the power of its active node, watch the VIPs come back'
	@echo 'make test      lint, unit tests, and the end-to-end tests in the lab'
	@echo 'make test-all  the same with the known failures one by one, outages, and every release (an hour)'
	@echo 'make bench     against the OCI CLI, ocivip and a tutorial, in the lab (15 minutes; BENCH=--help for options)'
	@echo 'make campaign  five-minute outages, then random faults (hours; COUNT=50: so many, SEED=7: the same again)'
	@echo 'make down      remove the lab'
	@echo 'also: setup lint unit lab-test reference format'

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
test-all: test

lint:
	ruff check .
	ruff format --check .
	mypy
	vermin --no-tips --quiet --target=3.6- --violations roles/vip_agent/files/lib
	yamllint --strict .
	ansible-lint --offline
	tools/reference.py --check
	shellcheck tools/bootstrap .ci/run lab/nodes/rootfs/customize.sh
	codespell

unit:
	pytest --numprocesses 2 tests/unit

lab-test:
	pytest --tb=short -ra -m '$(SELECT)' tests/lab

bench: setup
	python -m bench $(BENCH)

# The tests come first: they build a cluster of their own, and take the lab away at their end.
campaign: setup
	pytest --tb=short -ra tests/lab/test_outages.py --outage 300
	lab up
	ansible-playbook site.yml -i inventory/lab
	lab campaign --count $(COUNT) $(if $(SEED),--seed $(SEED))

reference:
	tools/reference.py

format:
	ruff check --fix .
	ruff format .
