"""The server half: sockets, event loop, threads and the calling side of PEP 3333.

Read in this order: ``server`` (from outside), ``loop`` and ``leadership`` (who does what when),
``connection`` (one socket), ``exchange`` (one request and its response).
"""

from wsgiserve.server.errors import ClientDisconnected, ListenError
from wsgiserve.server.server import Server, serve

__all__ = ["ClientDisconnected", "ListenError", "Server", "serve"]
