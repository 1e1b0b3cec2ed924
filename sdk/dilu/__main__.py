"""Run the command `dilu` as `python -m dilu`."""

from dilu.cli.main import main

if __name__ == "__main__":
    main()
