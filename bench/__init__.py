# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: the mover against Oracle's CLI and the agent that is built on it, side by side in the lab."""
