"""Which thread runs the loop, and which thread calls the app: leader/followers with lazy promotion.

Nothing in here knows of sockets or HTTP. ``leadership`` has the rules; read it first, then ``sentinel``.
Beside them: ``calls`` (which call runs on which thread), ``timeouts`` (calls that take too long), ``waiting``
(the queue for a thread), ``forecast`` (requests that are likely to be slow).
"""
