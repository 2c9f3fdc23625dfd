"""Which thread runs the loop, and which thread calls the app: leader/followers."""
