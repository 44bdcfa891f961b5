# Kernels for other .pyx only: see _digits.pxd.
