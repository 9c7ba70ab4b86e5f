"""``python -m napts.cli``."""

from napts.cli import program

if __name__ == "__main__":
    program()
