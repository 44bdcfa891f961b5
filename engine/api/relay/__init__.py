"""The WebSocket that RELAY clients connect to."""
