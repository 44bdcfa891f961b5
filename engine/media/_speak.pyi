# Kernels for other .pyx only: see _speak.pxd.
