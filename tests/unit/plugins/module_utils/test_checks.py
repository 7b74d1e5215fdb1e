# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user writes about the checks of a node."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._checks import parse_checks
from ansible_collections.cloudvip.ha.plugins.module_utils._problems import Problems

TCP = {"name": "web", "type": "tcp", "port": 80}
HTTP = {"name": "page", "type": "http", "url": "http://127.0.0.1:8080/health"}
PROCESS = {"name": "proxy", "type": "process", "process": "haproxy"}
SCRIPT = {"name": "disk", "type": "script", "command": "/usr/local/bin/disk-ok '/srv data'"}
DEFAULTS = {"interval": 2, "timeout": 1, "fall": 2, "rise": 2}


def parsed(raw: object) -> tuple[list[dict[str, Any]], list[str]]:
    problems = Problems()
    return parse_checks(raw, problems), problems.messages


def test_defaults_are_filled_in_and_the_order_is_kept() -> None:
    assert parsed([TCP, HTTP, PROCESS, SCRIPT]) == (
        [
            {**DEFAULTS, **TCP, "host": "127.0.0.1"},
            {**DEFAULTS, **HTTP, "status": 200},
            {**DEFAULTS, **PROCESS},
            {**DEFAULTS, **SCRIPT},
        ],
        [],
    )


def test_what_is_given_is_taken_and_a_number_may_be_a_text() -> None:
    given = {"interval": 5, "timeout": "5", "fall": 3, "rise": 1, "port": "8443", "host": "db.internal"}

    assert parsed([{**TCP, **given}]) == ([{**TCP, **given, "timeout": 5, "port": 8443}], [])


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ("web", "cloudvip_checks[0] = 'web': expected a mapping with the keys name and type"),
        ({"name": "web"}, "cloudvip_checks[0].type = None: expected tcp or http or process or script"),
        ({**TCP, "type": "tpc"}, "cloudvip_checks[0].type = 'tpc': expected tcp or http or process or script (did you"),
        ({**TCP, "type": ["tcp"]}, "cloudvip_checks[0].type = ['tcp']: expected tcp or http or process or script"),
        ({**TCP, "url": "x"}, "cloudvip_checks[0].url = 'x': expected no such key; known are name, type, interval,"),
        ({**TCP, "prot": 1}, "cloudvip_checks[0].prot = 1: expected no such key (did you mean 'port'?)"),
        ({**TCP, "name": None}, "cloudvip_checks[0].name = None: expected a value: the key is required"),
        ({**TCP, "name": "Web 1"}, "cloudvip_checks[0] (Web 1).name = 'Web 1': expected a lower-case letter"),
        ({**TCP, "port": None}, "cloudvip_checks[0].port = None: expected a value: the key is required"),
        ({**TCP, "port": 65536}, "cloudvip_checks[0] (web).port = 65536: expected a whole number from 1 to 65535"),
        ({**TCP, "port": True}, "cloudvip_checks[0] (web).port = True: expected a whole number from 1 to 65535"),
        ({**TCP, "host": "a b"}, "cloudvip_checks[0] (web).host = 'a b': expected a host name or an IP address"),
        ({**TCP, "interval": 0.5}, "cloudvip_checks[0] (web).interval = 0.5: expected a whole number from 1 to 3600"),
        ({**TCP, "fall": 0}, "cloudvip_checks[0] (web).fall = 0: expected a whole number from 1 to 255"),
        ({**TCP, "timeout": 3}, "cloudvip_checks[0] (web).timeout = 3: expected at most the interval, 2"),
        ({**TCP, "host": "CHANGE_ME HOST"}, "cloudvip_checks[0] (web).host = 'CHANGE_ME HOST': expected a value of"),
        ({**HTTP, "url": "https://127.0.0.1/"}, "(page).url = 'https://127.0.0.1/': expected a URL that begins with"),
        ({**HTTP, "url": "http:///health"}, "(page).url = 'http:///health': expected a URL that begins with http://"),
        ({**HTTP, "url": "http://a:0/"}, "(page).url = 'http://a:0/': expected a URL that begins with http://"),
        ({**HTTP, "url": "http://a:x/"}, "(page).url = 'http://a:x/': expected a URL that begins with http://"),
        ({**HTTP, "url": "http://a/ b"}, "(page).url = 'http://a/ b': expected a URL that begins with http://"),
        ({**HTTP, "url": "http://u:p@a/"}, "(page).url = 'http://u:p@a/': expected a URL that begins with http://"),
        ({**HTTP, "status": 99}, "(page).status = 99: expected a whole number from 100 to 599"),
        ({**PROCESS, "process": "/usr/sbin/haproxy"}, "expected the name of an executable, without its path"),
        ({**PROCESS, "process": "a b"}, "(proxy).process = 'a b': expected the name of an executable"),
        ({**SCRIPT, "command": "disk-ok"}, "(disk).command = 'disk-ok': expected the absolute path of a program"),
        ({**SCRIPT, "command": "/x 'y"}, "expected the absolute path of a program, with its arguments"),
        ({**SCRIPT, "command": ["/x"]}, "(disk).command = ['/x']: expected the absolute path of a program"),
        ({**SCRIPT, "command": "'/my program'"}, "expected the absolute path of a program, with its arguments"),
        ({**SCRIPT, "command": ""}, "(disk).command = '': expected the absolute path of a program"),
    ],
)
def test_a_bad_check_is_refused_by_its_name_value_and_expectation(check: object, problem: str) -> None:
    checks, found = parsed([check])

    assert checks == []
    assert len(found) == 1
    assert problem in found[0]


def test_every_problem_of_every_check_is_named() -> None:
    _, found = parsed([{**TCP, "port": 0, "rise": 0}, {**HTTP, "url": 1}])

    assert len(found) == 3


def test_a_name_is_one_check_s() -> None:
    _, found = parsed([TCP, PROCESS, {**HTTP, "name": "web"}])

    assert found == [
        "cloudvip_checks[2] (web).name = 'web': expected a name of its own: cloudvip_checks[0] (web) has this one"
    ]


@pytest.mark.parametrize("raw", [None, "text", TCP])
def test_the_checks_are_a_list(raw: object) -> None:
    assert parsed(raw) == ([], [f"cloudvip_checks = {raw!r}: expected a list of checks, each with name and type"])
