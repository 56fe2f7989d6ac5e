"""One module per engine, each hands over a World; and the reference reader of compose files."""
