"""A socket is let in from where a page is: the handshake's host and scheme are those that Django reads."""

from __future__ import annotations

from itertools import product

import pytest
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.test import override_settings

from realtime.auth import origins
from realtime.auth.handshake import HandshakeRequest

HOSTS = [
    "app.example",
    "APP.Example",
    "app.example.",
    "app.example:8443",
    "app.example:443",
    "[::1]:80",
    "evil.example",
    "a b",
    "",
    "app.example:x",
]
PROXY = [None, "https", "http", "https,http", "http, https", " https", "HTTPS"]
SETTINGS = [
    {},
    {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")},
    {"USE_X_FORWARDED_HOST": True},
]


def scope(host: str, *headers: tuple[str, str], kind: str = "websocket", scheme: str = "ws") -> dict:
    named = [("Host", host), *headers]
    return {
        "type": kind,
        "scheme": scheme,
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "server": ("127.0.0.1", 8000),
        "headers": [(name.lower().encode(), value.encode()) for name, value in named],
    }


def host_of(request: HandshakeRequest | ASGIRequest) -> str | None:
    try:
        return request.get_host()
    except DisallowedHost:
        return None


@pytest.mark.parametrize("given", SETTINGS, ids=lambda given: next(iter(given), "no proxy"))
def test_host_and_scheme_are_those_of_a_page_at_the_same_place(given):
    with override_settings(ALLOWED_HOSTS=["app.example", "[::1]"], **given):
        for host, proxy, forwarded in product(HOSTS, PROXY, [None, "app.example", "other.example"]):
            headers = [("X-Forwarded-Proto", proxy)] if proxy else []
            headers += [("X-Forwarded-Host", forwarded)] if forwarded else []
            for plain, secure in (("http", "ws"), ("https", "wss")):
                page = ASGIRequest(scope(host, *headers, kind="http", scheme=plain), None)
                socket = HandshakeRequest(scope(host, *headers, scheme=secure))
                assert (host_of(socket), socket.scheme) == (host_of(page), page.scheme), (
                    host,
                    headers,
                    plain,
                )


@pytest.mark.parametrize(
    ("host", "origin", "is_ours"),
    [
        ("app.example", "http://app.example", True),
        ("app.example", "http://APP.example", True),
        ("APP.EXAMPLE", "http://app.example", True),
        ("app.example.", "http://app.example", True),
        ("app.example:80", "http://app.example", True),
        ("app.example", "http://app.example:80", True),
        ("bücher.example", "http://xn--bcher-kva.example", False),  # a browser sends no such host
        ("[::1]:8000", "http://[::1]:8000", True),
        ("app.example", "https://app.example", False),
        ("app.example", "http://app.example:8080", False),
        ("app.example", "http://app.example.evil.example", False),
        ("app.example", "http://evil.example/app.example", False),
        ("app.example", "http://app.example@evil.example", False),
        ("app.example", "http://user@app.example", False),
        ("app.example", "null", False),
        ("app.example", "", False),
        ("app.example", "http://", False),
        ("app.example", "http://app.example:99999", False),
        ("app.example", "file://app.example", False),
        ("evil.example", "http://evil.example", False),
    ],
)
def test_an_origin_is_compared_as_a_browser_would(host, origin, is_ours):
    with override_settings(ALLOWED_HOSTS=["app.example", "[::1]"]):
        assert origins.allowed(scope(host, ("Origin", origin)), cookie=True) is is_ours


@pytest.mark.parametrize("proto", ["https", "wss", "WSS", "https,http", "wss, ws"])
def test_behind_a_proxy_that_ends_tls(proto):
    with override_settings(
        ALLOWED_HOSTS=["app.example"], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")
    ):
        given = scope("app.example", ("X-Forwarded-Proto", proto), ("Origin", "https://app.example"))
        assert origins.allowed(given, cookie=True)


@pytest.mark.parametrize("header", ["X_Forwarded_Proto", "x-forwarded_proto"])
def test_a_header_with_underscores_does_not_pass_for_the_proxys(header):
    with override_settings(
        ALLOWED_HOSTS=["app.example"], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")
    ):
        given = scope("app.example", (header, "https"), ("Origin", "https://app.example"))
        assert not origins.allowed(given, cookie=True)


def test_a_listed_origin_in_another_spelling():
    with override_settings(ALLOWED_HOSTS=["api.example"], CORS_ALLOWED_ORIGINS=["https://App.example:443"]):
        assert origins.allowed(scope("api.example", ("Origin", "https://app.example")), cookie=True)
        assert not origins.allowed(scope("api.example", ("Origin", "http://app.example")), cookie=True)
