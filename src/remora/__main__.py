"""`python -m remora` is `remora`."""

from remora.cli import main

main()
