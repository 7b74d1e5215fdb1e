# SPDX-License-Identifier: GPL-3.0-or-later
"""One line per decision, to the journal by way of syslog."""

import json
import re
import syslog


def _value(value: object) -> str:
    text = str(value)
    return text if re.match(r"[!#-<>-~]+\Z", text) else json.dumps(text)


class Log:
    """The log that every entry point shares."""

    def __init__(self) -> None:
        syslog.openlog("cloudvip", syslog.LOG_PID, syslog.LOG_DAEMON)

    def decision(self, operation: str, group: str, outcome: str, **fields: object) -> None:
        """One decision as `key=value`, to be read by people and by programs. Fields that are empty are left out."""
        fields = dict({"operation": operation, "group": group, "outcome": outcome}, **fields)
        text = " ".join(f"{key}={_value(value)}" for key, value in fields.items() if value not in ("", None))
        (self.warning if fields.get("problem") else self.info)(text)

    def info(self, text: str) -> None:
        """Something was done."""
        syslog.syslog(syslog.LOG_INFO, text)

    def warning(self, text: str) -> None:
        """Something is not as it should be."""
        syslog.syslog(syslog.LOG_WARNING, text)
