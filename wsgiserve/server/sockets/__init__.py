"""Sockets to listen on, and waiting for sockets."""
