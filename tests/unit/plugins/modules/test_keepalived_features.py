# SPDX-License-Identifier: GPL-3.0-or-later
"""The module keepalived_features with a stand-in for keepalived on the PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cloudvip.ha.plugins.modules import keepalived_features

from tests.unit.plugins.modules.conftest import Run

KEYWORDS = ["down_timer_adverts", "timer_expired_backup"]
# Knows the keywords that it is made with; what it says is what the releases say.
KEEPALIVED = """#!{python}
import sys
if sys.argv[1] == "--version":
    sys.exit("{version}")
option, path = sys.argv[2].split("=")
assert (sys.argv[1], option) == ("--config-test", "--use-file")
for number, line in enumerate(open(path), 1):
    word = line.split()[0]
    if word not in {known!r} + ["vrrp_instance", "}}"]:
        print("({where}Line %d) Unknown keyword '%s'" % (number, word), file=sys.stderr)
print("(probe) the virtual router id must be set", file=sys.stderr)
sys.exit({status})
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The PATH, on which there is no keepalived but one that a test puts here."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(AnsibleModule, "get_bin_path", find)
    return tmp_path


def find(_module: object, name: str) -> str | None:
    found = Path(os.environ["PATH"], name)
    return str(found) if found.exists() else None


def install(
    path: Path, *known: str, version: str = "Keepalived v2.2.7 (01/16,2022)", where: str = "", status: int = 5
) -> None:
    program = path / "keepalived"
    program.write_text(
        KEEPALIVED.format(python=sys.executable, version=version, known=list(known), where=where, status=status)
    )
    program.chmod(0o755)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("release", "known", "where", "status"),
    [
        ("v2.1.5 (07/13,2020)", [], "/tmp/keepalived.conf: ", 0),
        ("v2.2.7 (01/16,2022)", KEYWORDS[:1], "", 5),
        ("v2.3.3 (03/30,2025)", KEYWORDS, "/tmp/keepalived.conf: ", 5),
    ],
)
def test_what_a_release_knows_is_found_out(
    path: Path, run: Run, release: str, known: list[str], where: str, status: int, check: bool
) -> None:
    install(path, *known, version=f"Keepalived {release}", where=where, status=status)

    answer = run(keepalived_features.main, check=check, keywords=KEYWORDS)

    assert (answer["changed"], answer["keywords"]) == (False, known)
    assert answer["version"] == release.split()[0].removeprefix("v")


@pytest.mark.usefixtures("path")
def test_a_node_without_keepalived_knows_nothing(run: Run) -> None:
    answer = run(keepalived_features.main, check=True, keywords=KEYWORDS)

    assert (answer["version"], answer["keywords"]) == (None, [])
    assert answer["msg"] == "keepalived is not installed"


def test_a_keepalived_that_calls_nothing_unknown_is_not_believed(path: Path, run: Run) -> None:
    install(path, *KEYWORDS, keepalived_features.NO_KEYWORD)

    answer = run(keepalived_features.main, keywords=KEYWORDS)

    assert "expected keepalived to call the keyword cloudvip_no_keyword unknown" in answer["msg"]
    assert "the virtual router id must be set" in answer["msg"]


def test_something_else_of_that_name_is_not_believed(path: Path, run: Run) -> None:
    install(path, version="usage: keepalived FILE")

    assert "but it said: usage: keepalived FILE" in run(keepalived_features.main, keywords=KEYWORDS)["msg"]
