"""All commands as one program: ``skinlab train …``, the same as ``python -m skinlab.train …``."""

from skinlab.cli.program import main

if __name__ == "__main__":
    main()
