"""How the portal logs: structured lines, and no credential in any of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from realtime.printing import printable

_SECRETS = re.compile(
    r"""(?ix)
    (?P<name> (?:token|ticket|access|refresh|password|sessionid|csrftoken) ["']? \s* [=:] \s* ["']? | bearer [ .] )
    [^\s"'&,;<>]+
    """
)
_JWT = re.compile(r"\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?")


def scrub(text: str) -> str:
    """Return `text` with every token, ticket, password and session key replaced by `***`."""
    return _JWT.sub("***", _SECRETS.sub(lambda match: match["name"] + "***", text))


class NoCredentials(logging.Filter):
    """Scrubs each record's message and arguments, whoever wrote it.

    A request line of the server, a library's debug output.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; always let it through."""
        if isinstance(record.msg, str):
            text = record.getMessage()
            clean = scrub(text)
            if clean != text:
                record.msg, record.args = clean, ()
        return True


def _scrub_values(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {key: _clean(key, value) for key, value in event.items()}


_OF_LINES = frozenset({"exception", "stack"})
"""Values that are meant to have lines."""


def _clean(key: str, value: Any) -> Any:
    """Return a value without credentials and, where it is text, without what would steer a terminal or forge a line."""
    return printable(scrub(value), lines=key in _OF_LINES) if isinstance(value, str) else value


def formatter(style: str) -> logging.Formatter:
    """Return the formatter of every line: `json` (one object a line) or `console` (for people)."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = structlog.processors.JSONRenderer()
    if style != "json":
        renderer = structlog.dev.ConsoleRenderer(colors=False)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,  # before scrubbing: a traceback is text like any other
            _scrub_values,
            renderer,
        ],
    )
