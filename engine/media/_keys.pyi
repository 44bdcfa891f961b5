# Kernels for other .pyx only: see _keys.pxd.
