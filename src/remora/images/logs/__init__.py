"""The log pipeline's image: a reader of ours that appends to a spool, and rsyslog as the sender from it.

In the image these files lie in the same package, so that the tests import what runs; standard library only.
"""
