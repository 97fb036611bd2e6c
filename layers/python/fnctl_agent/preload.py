"""What a booted runtime has imported before it knows the user's code: what web apps use, and the usual contract."""

from __future__ import annotations

import contextlib
import importlib

# What importing Flask, Django, FastAPI, SQLAlchemy, requests and httpx pulls in from the standard library.
_MODULES = """
abc argparse array ast asyncio atexit base64 binascii bisect calendar cgi cmath code codecs collections collections.abc
colorsys concurrent.futures concurrent.futures.thread configparser contextlib contextvars copy copyreg csv ctypes
dataclasses datetime decimal difflib dis email email.generator email.header email.headerregistry email.message
email.mime.multipart email.mime.text email.parser email.policy email.utils encodings.idna encodings.latin_1 enum errno
fcntl fnmatch fractions functools gc getpass gettext glob graphlib gzip hashlib heapq hmac html html.entities
html.parser http http.client http.cookiejar http.cookies http.server importlib.abc importlib.machinery
importlib.metadata importlib.resources importlib.util inspect io ipaddress itertools json keyword linecache locale
logging logging.config logging.handlers lzma marshal math mimetypes multiprocessing numbers opcode operator os pathlib
pickle pkgutil platform posixpath pprint queue quopri random re reprlib secrets select selectors shlex shutil signal
socket socketserver sqlite3 ssl stat statistics string stringprep struct subprocess symtable sysconfig tempfile
textwrap threading time timeit token tokenize traceback types typing unicodedata unittest.mock urllib.error
urllib.parse urllib.request urllib.response uuid warnings weakref wsgiref.simple_server wsgiref.util xml.sax.saxutils
zipfile zipimport zlib zoneinfo
"""


# What the agent imports only when a function asks for it (later.py), and the contract that a load without a word has.
_OURS = "asgi contracts.by_shape contracts.event events forking relay wsgi"


def preload_own() -> None:
    for name in _OURS.split():
        importlib.import_module(f"fnctl_agent.{name}")


def preload() -> None:
    """Import all of them; one that this interpreter lacks is skipped."""
    preload_own()
    for name in _MODULES.split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Made on first use, and costly then: every handshake, every lookup of a codec.
    "".encode("idna")
