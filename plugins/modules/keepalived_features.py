#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Module keepalived_features; see DOCUMENTATION."""

DOCUMENTATION = r"""
module: keepalived_features
short_description: Find out which keywords the installed keepalived knows
version_added: "0.1.0"
author: The cloudvip authors
description:
  - Has keepalived test a small configuration with the keywords in question, and reads which of them it calls unknown.
  - Neither a running keepalived nor its configuration is touched.
attributes:
  check_mode:
    description: Can run in check mode; changes nothing in either mode.
    support: full
  diff_mode:
    description: There is never a difference to show.
    support: none
options:
  keywords:
    description: Keywords of a C(vrrp_instance).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Ask whether the time after which a master is given up can be set
  cloudvip.ha.keepalived_features:
    keywords: [down_timer_adverts]
  register: keepalived
"""

RETURN = r"""
version:
  description: Version of keepalived, null where it is not installed.
  returned: success
  type: str
  sample: 2.2.7
keywords:
  description: Those of the keywords that it knows, in the order in which they were given.
  returned: success
  type: list
  elements: str
"""

import re
from typing import List, Sequence

from ansible.module_utils.basic import AnsibleModule

VERSION = re.compile(r"^Keepalived v(\S+)", re.MULTILINE)
UNKNOWN = re.compile(r"unknown keyword\W+(\w+)", re.IGNORECASE)
# That it is called unknown shows that the others would be.
NO_KEYWORD = "cloudvip_no_keyword"


class FeaturesError(Exception):
    """keepalived does not answer the question; the text says what it does."""


def configuration(keywords: Sequence[str]) -> str:
    """Return a configuration with these keywords. Whether it makes sense otherwise does not matter."""
    return "\n".join(["vrrp_instance probe {", *(f"    {word} 1" for word in (*keywords, NO_KEYWORD)), "}", ""])


def version(output: str) -> str:
    """Return the version.

    :param output: what keepalived says about it
    :raises FeaturesError: if that is something else
    """
    found = VERSION.search(output)
    if not found:
        raise FeaturesError(f"expected keepalived to say its version, but it said: {output}")
    return found.group(1)


def known(keywords: Sequence[str], output: str) -> List[str]:
    """Return the keywords that keepalived does not call unknown.

    :param output: what it says about their configuration()
    :raises FeaturesError: if it does not call what is none unknown either
    """
    unknown = set(UNKNOWN.findall(output))
    if NO_KEYWORD not in unknown:
        raise FeaturesError(f"expected keepalived to call the keyword {NO_KEYWORD} unknown, but it said: {output}")
    return [word for word in keywords if word not in unknown]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"keywords": {"type": "list", "elements": "str", "required": True}}, supports_check_mode=True
    )
    program = module.get_bin_path("keepalived")
    if program is None:
        module.exit_json(changed=False, version=None, keywords=[], msg="keepalived is not installed")

    def run(*arguments: str) -> str:
        # Its exit status says nothing: 2.1.5 is content with any configuration, later releases are not with this one.
        _, out, err = module.run_command([program, *arguments], environ_update={"LC_ALL": "C"})
        return f"{out}{err}".strip()

    path = f"{module.tmpdir}/keepalived.conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write(configuration(module.params["keywords"]))
    try:
        found = version(run("--version"))
        keywords = known(module.params["keywords"], run("--config-test", f"--use-file={path}"))
    except FeaturesError as error:
        module.fail_json(msg=str(error))
    else:
        module.exit_json(changed=False, version=found, keywords=keywords)


if __name__ == "__main__":
    main()
