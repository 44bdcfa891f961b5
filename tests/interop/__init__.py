"""Other people's SIP software against the engine, on loopback: needs the programs that `.ci` installs."""
