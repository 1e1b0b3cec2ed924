"""`python -m dilu` is the command `dilu`."""

from dilu.cli.main import main

if __name__ == "__main__":
    main()
