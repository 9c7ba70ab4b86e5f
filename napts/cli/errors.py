"""Exit codes of the command line, and how a mistake is said."""

import click

FAILED, BAD_INPUT, BUSY, INTERRUPTED = 1, 2, 3, 130


def fail(message: object, code: int = BAD_INPUT) -> click.exceptions.Exit:
    """Say on standard error what is wrong, and return the exception that ends the command.

    Args:
        message: One line per problem.
        code: Exit code.
    """
    click.echo(f"napts: {message}", err=True)
    return click.exceptions.Exit(code)
