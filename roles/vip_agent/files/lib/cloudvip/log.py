# SPDX-License-Identifier: GPL-3.0-or-later
"""One line per decision, to the journal by way of syslog."""

import syslog


class Log:
    """The log that every entry point shares."""

    def __init__(self) -> None:
        syslog.openlog("cloudvip", syslog.LOG_PID, syslog.LOG_DAEMON)

    def info(self, text: str) -> None:
        """Something was done."""
        syslog.syslog(syslog.LOG_INFO, text)

    def warning(self, text: str) -> None:
        """Something is not as it should be."""
        syslog.syslog(syslog.LOG_WARNING, text)
