# Kernels for other .pyx only: see _player.pxd.
