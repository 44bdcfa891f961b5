"""One file a revision, each frozen as released."""
