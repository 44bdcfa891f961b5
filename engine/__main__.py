"""``python -m engine``: the ``paytone`` command."""

from engine.cli import main

if __name__ == "__main__":
    main()
