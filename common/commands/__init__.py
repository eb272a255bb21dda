"""One module per `zoo` command: configure(parser) says its arguments, run(arguments) does it."""
