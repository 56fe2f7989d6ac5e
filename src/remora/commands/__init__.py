"""One module per verb: parsed arguments in, exit code out."""
