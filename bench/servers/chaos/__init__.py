"""A server under every disturbance that one machine can give it: `python -m bench.servers.chaos`."""
