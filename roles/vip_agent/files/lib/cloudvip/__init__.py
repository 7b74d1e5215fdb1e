# SPDX-License-Identifier: GPL-3.0-or-later
"""The mover: makes the cloud deliver a group's addresses to this node, and puts them on its interfaces.

Runs on nodes with nothing but Python 3.6 or newer, `openssl` and iproute2. Every entry point (the OCF agent, the
operator's command) goes through cloudvip.mover.
"""

VERSION = "0.1.0"
