"""No credential reaches a log, whichever way a line is made."""

from __future__ import annotations

import logging
import sys

import pytest

from compliance_portal.logs import NoCredentials, formatter, scrub

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoxfQ.c2lnbmF0dXJl"


def line(style: str, message: str, *args: object, exc_info: object = None) -> str:
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, message, args, exc_info)  # type: ignore[arg-type]
    assert NoCredentials().filter(record)
    return formatter(style).format(record)


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "text",
    [
        "GET /ws?token={}&batch=1",
        "GET /ws?batch=1&ticket={}",
        "Authorization: Bearer {}",
        "subprotocols: compliance.v1, bearer.{}",
        "Cookie: csrftoken={}; sessionid={}",
        '{{"access": "{}", "refresh": "{}", "password": "{}"}}',
        "a token by itself: {}",
    ],
)
def test_credentials_are_scrubbed_from_message_and_arguments(style, text):
    secrets = [SECRET] if "itself" in text else [SECRET, "Zq3-plain_secret"]
    for secret in secrets:
        message = text.replace("{}", secret).replace("{{", "{").replace("}}", "}")
        for written in (line(style, message), line(style, "%s", message)):
            assert secret not in written
            assert "***" in written


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_traceback_shows_no_local_variables_and_no_credential_in_its_message(style):
    token = SECRET
    try:
        raise ValueError(f"bad token={token}")
    except ValueError:
        written = line(style, "failed", exc_info=sys.exc_info())
    assert "ValueError" in written
    assert token not in written
    assert token[:20] not in written


def test_what_is_no_credential_stays():
    text = "user=ana client=3f2a tokens left: 5, path=/api/v1/ws/ticket status=200"
    assert scrub(text) == text


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "steering", ["\x1b[2J", "\x9b31m", "\u202e", "\x07", "\r\n2026 [info] forged", "\u2028"]
)
def test_what_would_steer_a_terminal_or_forge_a_line_is_escaped(style, steering):
    for written in (line(style, f"a{steering}b"), line(style, "a%sb", steering)):
        assert written.isprintable(), repr(written)


def test_a_traceback_keeps_its_lines_and_nothing_else():
    try:
        raise ValueError("a\x1b[2Jb")
    except ValueError:
        written = line("console", "failed", exc_info=sys.exc_info())
    assert len(written.splitlines()) > 2
    assert "\x1b" not in written
