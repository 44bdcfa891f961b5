"""Load for the calls' figures: a compiled generator of callers, the media plane to be measured, and their processes.

The generator is a peer of its own: it shares no code with the engine's RTP, so a fault of one is seen by the other.
"""
