"""A line as it lies in the spool: one JSON object, metadata first.

    {"stack":"coins","environment":"prod","service":"webui","replica":"1","container":"coins-webui-1",
     "id":"0123456789ab","log":"the text","stream":"stdout","time":"2026-01-31T12:00:00.123456789Z"}

`id`, `stream` and `time` identify it, so whoever gets a line twice can tell.
"""

from __future__ import annotations

import json
import re
import time
from typing import NamedTuple

UNSAFE = re.compile(r'["\\\]\x00-\x1f\x7f\ud800-\udfff]')  # half a letter cannot be written
UNNAMED = re.compile(r'[^!-~]|["\\\]]')  # what may not stand in syslog's APP-NAME and PROCID


class Origin(NamedTuple):
    """Where lines come from; the fields are the first keys of every record, in this order."""

    stack: str
    environment: str
    service: str
    replica: str
    container: str
    id: str

    @property
    def prefix(self) -> bytes:
        """The beginning of each of its records, up to the key `log`."""
        fields = {key: safe(value) for key, value in self._asdict().items()}
        fields |= {key: UNNAMED.sub("_", fields[key]) or "-" for key in ("service", "container")}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))[:-1].encode() + b","


def safe(text: str) -> str:
    """Metadata without quotes, backslashes and brackets: it is copied into structured data of syslog as it is."""
    return UNSAFE.sub("_", text)


def stamp(nanoseconds: int) -> str:
    """RFC 3339 in UTC with nine digits."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
