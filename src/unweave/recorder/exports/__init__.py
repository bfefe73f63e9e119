"""A session as something to hand on: a notebook, a page, a write-up, JSON; and a notebook as a session."""
