"""`dilu`: finds subcommands by entry points, and imports a part only when one of its commands runs."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

import click

from dilu.errors import DiluError

GROUP = "dilu.commands"
_HIDDEN = "describe"  # for `dilu up`


class CommandGroup(click.Group):
    """Subcommands from entry points; one whose part is not installed is listed and says what to install."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands, sorted."""
        return sorted(entry.name for entry in entry_points(group=GROUP) if entry.name != _HIDDEN)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the subcommand with this name."""
        for entry in entry_points(group=GROUP, name=cmd_name):
            return _load(entry)
        return None


def _load(entry: EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except ModuleNotFoundError as error:
        return _missing(entry.name, error)
    assert isinstance(command, click.Command)
    return command


def _missing(name: str, error: ModuleNotFoundError) -> click.Command:
    def refuse(args: tuple[str, ...]) -> None:
        raise click.ClickException(f"`dilu {name}` needs the module {error.name}: pip install 'dilu[local]'")

    return click.Command(
        name,
        params=[click.Argument(["args"], nargs=-1, type=click.UNPROCESSED)],
        callback=refuse,
        short_help=f"(not installed: needs {error.name})",
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    )


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dilu", prog_name="dilu")
def cli() -> None:
    """Serve deep-learning functions with automatically scaled replicas.

    \b
    dilu up app.py            run functions on this machine, from zero
    dilu invoke embed ...     call a function
    dilu load URL ...         drive load against a function
    """


def main() -> None:
    """Run the command line; a `DiluError` is one line on stderr and exit code 2."""
    try:
        cli()
    except DiluError as error:
        click.echo(f"dilu: {error}", err=True)
        sys.exit(2)
