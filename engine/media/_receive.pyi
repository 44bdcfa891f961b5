# Kernels for other .pyx only: see _receive.pxd.
