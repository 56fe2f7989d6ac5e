"""The core thinks: values in, values out; no clock, no socket, no file."""
