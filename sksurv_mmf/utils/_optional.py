"""Packages that come with an extra."""

from importlib import import_module


def import_optional(name, extra, purpose):
    """Import a package, or say which extra brings it."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(f"{purpose} needs {package}. Install it with: pip install 'sksurv_mmf[{extra}]'.") from error
