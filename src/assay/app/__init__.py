"""What a person touches: the command line, the server and its page, notebook display."""
