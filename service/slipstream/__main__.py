"""`python -m slipstream` is the command `slipstream`."""

from slipstream.cli.main import app

if __name__ == "__main__":
    app(prog_name="slipstream")
