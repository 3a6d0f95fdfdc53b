"""The ``nightshift`` command: one thin function for each use case.

Nothing but typer is imported before a command runs; every command imports what it needs.
"""

import sys


def main() -> None:
    """Run the command that ``sys.argv`` says, and leave with its exit code."""
    try:
        from nightshift.cli.app import app

        app(prog_name="nightshift")
    except KeyboardInterrupt:  # before the command had begun
        sys.exit(130)


if __name__ == "__main__":
    main()
