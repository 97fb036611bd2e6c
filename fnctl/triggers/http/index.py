"""The page at the gateway's root where several functions share it: what runs, and where. Pure."""

from __future__ import annotations

import json
from html import escape

from fnctl.triggers.http.found import Index


def index_page(index: Index, host: bytes, *, as_json: bool) -> tuple[bytes, bytes]:
    """(content type, body). `host`: the request's, whose port the functions' own host names share."""
    port = _port(host.decode("ascii", "replace"))
    functions = [(name, [_with_port(address, port) for address in addresses]) for name, addresses in index.functions]
    if as_json:
        listed = [{"name": name, "addresses": addresses} for name, addresses in functions]
        return b"application/json", json.dumps({"functions": listed}).encode() + b"\n"
    rows = "".join(f"<dt>{escape(name)}</dt>{_links(addresses)}" for name, addresses in functions)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>fnctl</title>'
        "<style>body{font:1rem/1.6 system-ui;margin:3rem auto;max-width:40rem}dt{font-weight:600}</style>"
        f"<h1>Functions</h1><dl>{rows or '<dd>none is running</dd>'}</dl></html>\n"
    )
    return b"text/html; charset=utf-8", page.encode()


def _links(addresses: list[str]) -> str:
    return "".join(f"<dd>{_link(address)}</dd>" for address in addresses)


def _link(address: str) -> str:
    shown = escape(address)
    plain = " " not in address and "{" not in address  # a method or a parameter stands in it: nothing to click
    return f'<a href="{shown}">{shown}</a>' if plain else f"<code>{shown}</code>"


def _port(host: str) -> str:
    _, colon, port = host.rpartition(":")
    return f":{port}" if colon and port.isdigit() else ""


def _with_port(address: str, port: str) -> str:
    scheme, found, rest = address.partition("http://")
    if not found:
        return address
    name, slash, path = rest.partition("/")
    return f"{scheme}http://{name}{port if name.endswith('.localhost') else ''}{slash}{path}"
