"""The sockets as an AsyncAPI 3.0 document, built from the types that encode and decode them.

AsyncAPI describes the application: what the server sends is a `send` operation, what clients send a `receive` one.
"""

from __future__ import annotations

from typing import Any

from realtime import conf
from realtime.protocol import described, inbound, rates
from realtime.protocol.closing import CloseCode
from realtime.protocol.encoding import Encoding
from realtime.protocol.outbound import PROTOCOL

VERSION = "3.0.0"
PREFIX = "/api/v1"

REPLIES = {
    "ping": ["pong"],
    "subscribe": ["subscribed"],
    "unsubscribe": ["unsubscribed"],
    "resume": ["resumed", "resync"],
    "authenticate": ["authenticated"],
    "request_update": ["engagement_update"],
    "acknowledge": ["acknowledged"],
}
"""What answers each frame of a client, where it is not an `error`."""

QUERY = {
    "token": "An access token. It ends up in proxies' logs: prefer the subprotocol `bearer.<token>` or a ticket.",
    "ticket": "A single-use ticket from `POST /api/v1/ws/ticket`.",
    "batch": "`1`: events that gathered while the socket was busy come in one `batch` frame.",
    "rate": (
        f"Updates at most so many times a second ({rates.LEAST:g} to {rates.MOST:g}), folded to the newest state of "
        "each subject; alerts at once. With it, `batch=1` goes without saying."
    ),
    "user": "The id of the user whose connection this must be; another user's is refused with `user_changed`.",
    "scope": "`selected`: an MSP's connection follows the clients it subscribes to; `all` (default): all of them.",
    "positions": "Resume at once: `last`, or `<stream>:<seq>,…`.",
    "epoch": "The epoch that the positions are of.",
}


def document(host: str, *, secure: bool) -> dict[str, Any]:
    """Return the document, for a server that answers at `host`."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Compliance portal, real time",
            "version": PROTOCOL,
            "description": (
                "Engagement, interactions and alerts as they happen. A frame is a flat JSON object; a client must "
                "ignore fields that it does not know. docs/protocol.md is the prose."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "portal": {
                "host": host,
                "protocol": "wss" if secure else "ws",
                "description": f"Subprotocols: {', '.join(Encoding)}. The first one offered that is known is taken.",
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SECURITY],
            }
        },
        "channels": {
            "engagement": _channel(
                f"{PREFIX}/ws/engagement",
                "Engagement",
                "All clients of an MSP's user; the own client of a client's user.",
            ),
            "clientEngagement": {
                **_channel(
                    f"{PREFIX}/ws/client/{{client_id}}/engagement",
                    "Engagement of one client",
                    "One client. One that is unknown and one that is somebody else's are refused alike (1008).",
                ),
                "parameters": {"client_id": {"description": "The client's id, a UUID."}},
            },
        },
        "operations": _operations(),
        "components": {
            "schemas": described.schemas(),
            "messages": {frame.tag: _message(frame) for frame in _all_frames()},
            "securitySchemes": _SECURITY,
        },
        "x-close-codes": [
            {"code": int(value), "name": name, "meaning": meaning}
            for name, value, meaning in described.members(CloseCode)
        ],
        "x-limits": {
            "max_frame_bytes": inbound.MAX_BYTES,
            "max_depth": inbound.MAX_DEPTH,
            "messages_per_second": conf.current().messages_per_second,
            "messages_burst": conf.current().messages_burst,
            "subscriptions": conf.current().subscriptions,
        },
    }


def _all_frames() -> list[described.FrameType]:
    return [*described.frames("client"), *described.frames("server")]


def _channel(address: str, title: str, description: str) -> dict[str, Any]:
    query = {name: {"type": "string", "description": meaning} for name, meaning in QUERY.items()}
    return {
        "address": address,
        "title": title,
        "description": description,
        "servers": [{"$ref": "#/servers/portal"}],
        "messages": {frame.tag: {"$ref": f"#/components/messages/{frame.tag}"} for frame in _all_frames()},
        "bindings": {"ws": {"method": "GET", "query": {"type": "object", "properties": query}}},
    }


def _message(frame: described.FrameType) -> dict[str, Any]:
    return {
        "name": frame.tag,
        "title": frame.struct.__name__,
        "summary": frame.meaning,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{frame.struct.__name__}"},
    }


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for channel in ("engagement", "clientEngagement"):
        here = f"#/channels/{channel}"
        suffix = channel[0].upper() + channel[1:]
        operations[f"send{suffix}"] = {
            "action": "send",
            "channel": {"$ref": here},
            "summary": "What the server sends.",
            "messages": [{"$ref": f"{here}/messages/{frame.tag}"} for frame in described.frames("server")],
        }
        for frame in described.frames("client"):
            answers = [*REPLIES[frame.tag], "error"]
            operations[f"{frame.struct.__name__[0].lower()}{frame.struct.__name__[1:]}{suffix}"] = {
                "action": "receive",
                "channel": {"$ref": here},
                "summary": frame.meaning,
                "messages": [{"$ref": f"{here}/messages/{frame.tag}"}],
                "reply": {
                    "channel": {"$ref": here},
                    "messages": [{"$ref": f"{here}/messages/{tag}"} for tag in answers],
                },
            }
    return operations


_SECURITY: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, in the Authorization header or as the subprotocol `bearer.<token>`.",
    },
    "token": {"type": "httpApiKey", "in": "query", "name": "token", "description": QUERY["token"]},
    "ticket": {"type": "httpApiKey", "in": "query", "name": "ticket", "description": QUERY["ticket"]},
    "session": {
        "type": "httpApiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "The session of a signed-in page; its Origin must be one of ours.",
    },
}
