"""RELAY (`dialects.md` §2): frames, sessions, requests and events. Sans-IO."""
