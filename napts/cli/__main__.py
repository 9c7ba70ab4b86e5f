"""``python -m napts.cli``."""

from napts.cli import main

if __name__ == "__main__":
    main()
