"""The recorder: a notebook, terminal or script session, captured into the journal while it goes on."""
