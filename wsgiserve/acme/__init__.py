"""Certificates that get and renew themselves (ACME, RFC 8555), for ``--domain``.

``storage`` and ``answers`` are for every process. The rest is for the helper process, which alone talks to
the certificate authority (CA), and for the program that runs it.
"""
