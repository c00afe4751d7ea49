"""``python -m kronk_agent`` is the console script."""

from kronk_agent.cli import main

if __name__ == "__main__":
    main()
