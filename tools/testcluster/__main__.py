"""`python -m tools.testcluster`."""

from .cli import main

main()
