# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real cluster's tools say, and a stand-in for them."""
