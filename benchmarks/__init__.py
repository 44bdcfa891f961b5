"""The figures, each from a file that reproduces it: ``python -m benchmarks.<name>``."""
