# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The attributes that modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for in a documentation fragment."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode and predict the change without making it.
    support: full
  diff_mode:
    description: Returns what changed, or would change in check mode.
    support: full
"""

    INFO = r"""
attributes:
  check_mode:
    description: Can run in check mode. It changes nothing anyway.
    support: full
  diff_mode:
    description: There is nothing that could differ.
    support: none
"""
