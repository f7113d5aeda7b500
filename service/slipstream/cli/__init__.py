"""The command `slipstream`: one file, or one folder, a command.

House rules:

1. `--help` answers at once: at the top of a command's module stand only the standard library, typer, and modules that
   keep this rule; what is heavy (settings, NATS, HTTP, rich's tables) is imported where it is used.
2. An error is one line on stderr that says what to do, and a status of `status.Status`. Nobody sees a traceback for
   something that can happen.
3. What a program would read goes to stdout, what is for people alone (progress, warnings, summaries) to stderr.
"""
