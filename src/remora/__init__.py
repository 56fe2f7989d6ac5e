"""remora attaches sidekicks to the app containers of a Compose stack, from outside."""

__version__ = "0.1.0"
