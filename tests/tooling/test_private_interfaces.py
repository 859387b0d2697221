"""Interfaces of libraries that are private, so that a release may move them: each is named here.

A test that fails here says which one has moved, before anything fails in a stranger way. What is used and not named
fails too.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import models
from django.db.models.deletion import Collector
from django.dispatch import Signal
from django.http import HttpRequest

ROOT = Path(__file__).parents[2]
OURS = ("compliance_portal", "engagement", "realtime")


def websockets() -> Any:
    from autobahn.twisted.websocket import WebSocketAdapterProtocol

    return WebSocketAdapterProtocol


def descriptors() -> Any:
    from twisted.internet.abstract import FileDescriptor  # what a TCP connection is

    return FileDescriptor


def channels() -> Any:
    from twisted.web.http import HTTPChannel

    return HTTPChannel


def connected(channel: Any) -> Any:
    from twisted.internet.testing import StringTransport

    channel.makeConnection(StringTransport())
    channel.setTimeout(None)
    return channel


def layers() -> Any:
    from channels_redis.pubsub import RedisPubSubChannelLayer

    return RedisPubSubChannelLayer


def utilities() -> Any:
    import channels_redis.utils

    return channels_redis.utils


CALLED = {
    ("QuerySet", "_insert"): (
        lambda: models.QuerySet,
        "(self, objs, fields, returning_fields=None, raw=False, using=None, on_conflict=None, "  # noqa: ISC004
        "update_fields=None, unique_fields=None)",
    ),
    ("QuerySet", "_chain"): (lambda: models.QuerySet, "(self)"),
    ("QuerySet", "_raw_delete"): (lambda: models.QuerySet, "(self, using)"),
    ("Model", "_do_update"): (
        lambda: models.Model,
        "(self, base_qs, using, pk_val, values, update_fields, forced_update)",
    ),
    ("Collector", "_has_signal_listeners"): (lambda: Collector, "(self, model)"),
    ("Signal", "_live_receivers"): (lambda: Signal, "(self, sender)"),
    ("HttpRequest", "_get_scheme"): (lambda: HttpRequest, "(self)"),
    ("WebSocketAdapterProtocol", "_closeConnection"): (websockets, "(self, abort: 'bool' = False) -> 'None'"),
    ("channels_redis.utils", "decode_hosts"): (utilities, "(hosts)"),
    ("HTTPChannel", "_respondToBadRequestAndDisconnect"): (channels, "(self)"),
}
"""Functions, and how they are called."""

STATE = {
    ("QuerySet", "_for_write"): lambda: models.QuerySet(models.Model),
    ("QuerySet", "_fields"): lambda: models.QuerySet(models.Model),
    ("RedisPubSubChannelLayer", "_kwargs"): lambda: layers()(hosts=["redis://127.0.0.1:1"]),
    ("FileDescriptor", "_tempDataBuffer"): lambda: descriptors()(object()),
    ("HTTPChannel", "_receivedHeaderSize"): lambda: channels()(),
    ("HTTPChannel", "_receivedHeaderCount"): lambda: channels()(),
    ("HTTPChannel", "_networkProducer"): lambda: connected(channels()()),
}
"""Attributes of instances."""

PUBLIC = {"_meta", "_default_manager", "_base_manager"}
"""Documented by Django in spite of their names; and `_fields` of a named tuple by Python."""

MADE_BY_PYTHON = {"_abc_impl", "_is_protocol", "_declared_fields"}
"""Attributes that metaclasses give every class of theirs."""


@pytest.mark.parametrize("name", CALLED, ids=lambda name: ".".join(name))
def test_a_function_is_called_as_before(name):
    owner, signature = CALLED[name]
    assert str(inspect.signature(getattr(owner(), name[1]))) == signature


@pytest.mark.parametrize("name", STATE, ids=lambda name: ".".join(name))
def test_an_attribute_is_where_it_was(name):
    assert hasattr(STATE[name](), name[1])


def test_a_deletion_asks_whether_anybody_listens():
    """Otherwise our collector's answer would change nothing, and rows would be loaded in vain."""
    assert "_has_signal_listeners" in inspect.getsource(Collector.can_fast_delete)


def test_a_save_updates_by_do_update_and_inserts_by_insert():
    assert "self._do_update(" in inspect.getsource(models.Model._save_table)
    assert "manager._insert(" in inspect.getsource(models.Model._do_insert)


def test_no_other_is_used():
    known = {name for _, name in (*CALLED, *STATE)} | PUBLIC
    assert {f"{path}: {name}" for path, name in used() if name not in known} == set()


def test_no_other_is_overridden():
    known = {name for _, name in CALLED} | PUBLIC | MADE_BY_PYTHON
    assert {f"{owner}.{name}" for owner, name in overridden() if name not in known} == set()


def used() -> Iterator[tuple[str, str]]:
    """Yield private attributes that a file of ours uses and that no file of ours defines."""
    trees = {
        path: ast.parse(path.read_text())
        for top in OURS
        for path in sorted((ROOT / top).rglob("*.py"))
        if "migrations" not in path.parts
    }
    defined = {name for tree in trees.values() for name in definitions(tree)}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in defined:
                yield str(path.relative_to(ROOT)), node.attr


def definitions(tree: ast.AST) -> Iterator[str]:
    """Yield the names of functions and of attributes that are assigned to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                for name in names:
                    if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
                        yield name.attr if name.value.id in {"self", "cls"} else ""
                    elif isinstance(name, ast.Name):
                        yield name.id


def overridden() -> Iterator[tuple[str, str]]:
    """Yield private attributes of classes of ours that a library's base class has too."""
    for top in OURS:
        package = importlib.import_module(top)
        for found in pkgutil.walk_packages(package.__path__, f"{top}."):
            if "migrations" in found.name or found.name.endswith(("asgi", "wsgi")):
                continue
            module = importlib.import_module(found.name)
            for cls in vars(module).values():
                if inspect.isclass(cls) and cls.__module__ == found.name and not is_enum(cls):
                    yield from ((f"{found.name}.{cls.__name__}", name) for name in shared(cls))


def shared(cls: type) -> Iterator[str]:
    bases = [base for base in cls.__mro__[1:] if not base.__module__.startswith(OURS)]
    for name in cls.__dict__:
        if is_private(name) and any(name in base.__dict__ for base in bases):
            yield name


def is_enum(cls: type) -> bool:
    return hasattr(cls, "__members__")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
