"""One connection: its bytes as a WSGI call, and the answer as bytes again (HTTP/1.1, PEP 3333)."""
