"""The embedded model server: TF Serving's APIs on TensorFlow's C library.

No package registry has TF Serving's binary, so the stack without Docker needs a replacement. It
has the same REST and gRPC APIs, returns the same errors and exports the same metric names;
production replaces it with the official image by configuration alone. It calls TensorFlow through
the C API: a process is ready in about one second, while importing TensorFlow in Python alone takes
ten.
"""
