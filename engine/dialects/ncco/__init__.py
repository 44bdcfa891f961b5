"""NCCOs, the call control objects of Vonage's applications (`dialects.md` §6): sans-IO."""
