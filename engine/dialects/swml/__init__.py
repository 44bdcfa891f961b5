"""SWML documents (`dialects.md` §3): reading, checking and interpreting them. Sans-IO."""
