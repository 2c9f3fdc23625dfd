"""What trusted proxies say about a request: values of header fields in, one answer out.

Each proxy notes the address that it got the request from behind those that it was told. So the list is read
from the right: the peer is trusted, hence the last entry is true; if that is a trusted proxy's address, the
entry before it is true as well; and so on up to the first address that is not trusted, the client's. All that
stands further left is the client's own invention, and is not even looked at.

The other values are read at the same depth. A list that is shorter, because proxies handed on what they were
told, is read at its first entry.

Rules
- A value at that place that is malformed is refused with 400. To guess would let the client choose.
- "unknown", and names that begin with "_" (RFC 7239 §6.3), are no addresses: the client's address is "" then.
- ``trusts`` is asked about addresses and about UNIX, which nginx writes for a peer on a Unix socket.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from wsgiserve.protocol import grammar
from wsgiserve.protocol.errors import RemoteProtocolError
from wsgiserve.protocol.fields import FORWARDED, IGNORED

Trusts = Callable[[str], bool]

UNIX = "unix"
TRUSTED = "trusted"  # the value of FORWARDED where proxies were believed
SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}  # Traefik says wss for WebSocket
DEFAULT_PORTS = {"http": "80", "https": "443"}

_PORT = re.compile("[1-9][0-9]{0,4}")
# Decoded: no empty or dot segments, and nothing that a URL or a path reads as another separator.
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[^/\\\x00-\x20\x7f]+)+")


class Client(NamedTuple):
    """What proxies said of the client and of its request; None where they said nothing.

    ``address`` is "" if they hide it or do not know it.
    """

    address: str | None = None
    port: str | None = None
    scheme: str | None = None
    host: str | None = None  # with its port, as in the field Host
    host_port: str | None = None
    prefix: str | None = None  # decoded, without a slash at the end


# -- which fields arrive


def is_forwarded(key: str) -> bool:
    """Whether the field of a CGI name speaks of proxies: it begins with Forwarded or X-Forwarded."""
    return key.startswith(("HTTP_FORWARDED", "HTTP_X_FORWARDED"))


def removed_from_clients(key: str) -> str:
    """Place the fields of a peer that is not trusted."""
    return FORWARDED if is_forwarded(key) else key


def removed_beside_x_forwarded(key: str) -> str:
    """Place the fields of a trusted peer that sets X-Forwarded-…: a client may have sent the other one."""
    return IGNORED if key == "HTTP_FORWARDED" else key


def removed_beside_forwarded(key: str) -> str:
    """Place the fields of a trusted peer that sets Forwarded."""
    return IGNORED if is_forwarded(key) and key != "HTTP_FORWARDED" else key


# -- what they say


def read_x_forwarded_for(trusts: Trusts, value: str) -> tuple[int, dict[str, str]]:
    """Return the depth at which the other fields are to be read, and the variables of the client."""
    if "," not in value:  # Most often. Whether the first one is trusted makes no difference.
        return 1, _address_variables(*_node(value, "X-Forwarded-For")) if value else {}
    depth, changed = 0, {}
    for text in reversed(_items(value)):
        address, port = _node(text, "X-Forwarded-For")
        changed = _address_variables(address, port)
        depth += 1
        if not trusts(address):
            break
    return depth or 1, changed


def read_rest_of_x_forwarded(depth: int, proto: str, host: str, port: str, prefix: str) -> Client:
    """Read what X-Forwarded-… says besides addresses."""
    return Client(
        scheme=_scheme(_at(depth, proto), "X-Forwarded-Proto"),
        host=_host(_at(depth, host), "X-Forwarded-Host"),
        host_port=_host_port(_at(depth, port)),
        prefix=_prefix(_at(depth, prefix)),
    )


def read_forwarded(trusts: Trusts, value: str) -> Client:
    """Read the value of Forwarded (RFC 7239)."""
    address, port, said = None, None, {}
    for element in reversed(_elements(value)):
        said = element
        if "for" not in element:
            break
        address, port = _node(element["for"], "Forwarded")
        if not trusts(address):
            break
    scheme, host = said.get("proto"), said.get("host")
    address = "" if address == UNIX else address
    return Client(address, port, _scheme(scheme, "Forwarded"), _host(host, "Forwarded"))


def _items(value: str) -> list[str]:
    """Split a list; empty items do not count (RFC 9110 §5.6.1)."""
    if "," not in value:  # Most often; and a field's value has no white space around it.
        return [value] if value else []
    items = (item.strip(" \t") for item in value.split(","))
    return [item for item in items if item]


def _at(depth: int, value: str) -> str | None:
    """Return the item at this depth from the right, or the first; None if there is none."""
    items = _items(value)
    return items[-min(depth, len(items))] if items else None


def _elements(value: str) -> list[dict[str, str]]:
    """Split Forwarded into its elements: values by parameter, in lower case (RFC 7239 §4)."""
    elements: list[dict[str, str]] = [{}]
    place, behind = 0, ","
    while behind:
        pair = grammar.FORWARDED_PAIR.match(value, place)
        if pair is None:
            raise _malformed("Forwarded")
        name, text, behind = pair.groups()
        place = pair.end()
        if name is not None:
            if name.lower() in elements[-1]:  # "MUST NOT occur more than once"
                raise _malformed("Forwarded")
            elements[-1][name.lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text[0] == '"' else text
        if behind == ",":
            elements.append({})
    return [element for element in elements if element]


def _node(text: str, field: str) -> tuple[str, str | None]:
    """Return the address and the port of a node; the address is UNIX, or "" if it is not told."""
    match = grammar.node().fullmatch(text)
    if match is not None:
        ipv4, ipv6, hidden, port = match.groups()
        if port is not None:
            port = None if port[0] == "_" else port
            if port and not 0 < int(port) < 65536:
                raise _malformed(field)
        return ("" if hidden else ipv4 or as_ipv4(ipv6)), port
    if field == "X-Forwarded-For":
        if grammar.ipv6_address().fullmatch(text):
            return as_ipv4(text), None
        if text == "unix:":
            return UNIX, None
    raise _malformed(field)


def as_ipv4(address: str) -> str:
    """Return an IPv4 address that is written as IPv6 (RFC 4291 §2.5.5.2) as itself, any other as it is."""
    return address[7:] if "." in address and address[:7].lower() == "::ffff:" else address


def peer_name(peer: object) -> str:
    """Return the address of a peer that is named as ``accept`` does, UNIX for one on a Unix socket."""
    return as_ipv4(peer[0]) if isinstance(peer, tuple) else UNIX


def _scheme(text: str | None, field: str) -> str | None:
    if text is None:
        return None
    scheme = SCHEMES.get(text.lower())
    if scheme is None:
        raise _malformed(field)
    return scheme


def _host(text: str | None, field: str) -> str | None:
    if text is not None and (not text or not grammar.is_host(text)):
        raise _malformed(field)
    return text


def _host_port(text: str | None) -> str | None:
    if text is not None and not (_PORT.fullmatch(text) and int(text) < 65536):
        raise _malformed("X-Forwarded-Port")
    return text


def _prefix(text: str | None) -> str | None:
    if text is None:
        return None
    prefix = unquote_to_bytes(text.encode("latin-1")).decode("latin-1").removesuffix("/")
    if prefix and not _PREFIX.fullmatch(prefix):
        raise _malformed("X-Forwarded-Prefix")
    return prefix


def _malformed(field: str) -> RemoteProtocolError:
    return RemoteProtocolError(400, f"the {field} field of the proxy is malformed")


# -- what that changes


def variables(client: Client, host: str, scheme: str) -> dict[str, str]:
    """Return the CGI variables that differ from those of the proxy's own request, with this Host and scheme.

    The address is as ``Client`` has it. SERVER_NAME and SERVER_PORT follow from the host where anything about
    it was said: apps without a Host field build URLs of them.
    """
    changed = {} if client.address is None else _address_variables(client.address, client.port)
    if client.scheme is not None:
        changed["wsgi.url_scheme"] = scheme = client.scheme
    if client.prefix is not None:
        changed["SCRIPT_NAME"] = client.prefix
    if client.host or client.host_port or client.scheme:
        changed |= _server_variables(client.host or host, client.host_port, scheme)
    return changed and changed | {FORWARDED: TRUSTED}


def _address_variables(address: str, port: str | None) -> dict[str, str]:
    changed = {"REMOTE_ADDR": "" if address == UNIX else address, FORWARDED: TRUSTED}
    if port is not None:
        changed["REMOTE_PORT"] = port
    return changed


def _server_variables(host: str, port: str | None, scheme: str) -> dict[str, str]:
    name, colon, own_port = host.rpartition(":")
    if not colon or own_port.endswith("]"):
        name, own_port = host, ""
    if port is not None:
        own_port = port
        host = name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"
    if not name:
        return {}
    server = {"SERVER_NAME": name.strip("[]"), "SERVER_PORT": own_port or DEFAULT_PORTS[scheme]}
    return server | {"HTTP_HOST": host}
