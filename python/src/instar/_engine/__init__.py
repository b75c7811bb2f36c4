"""Runs the items of a fleet on an engine. Item numbers go to it, exit codes come back, and never a byte of an image."""


class EngineError(Exception):
    """The engine, and no item, does not do what it should."""
