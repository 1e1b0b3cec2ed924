"""The command `dilu`. Every part of Dilu adds its subcommands by entry points in the group `dilu.commands`."""
