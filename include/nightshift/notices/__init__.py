"""Notices: who is told of what is not well, once for each fault and once when it is over."""
