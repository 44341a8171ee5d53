"""The embedded model server: TF Serving's APIs on TensorFlow's C library.

No package registry carries TF Serving's binary, so the Docker-less stack needs a stand-in. It
speaks the same REST and gRPC APIs, answers the same errors and exports the same metric names;
production puts the official image in its place by configuration alone. TensorFlow is reached
through its C API: a process is READY in about a second, where importing Python's TensorFlow
alone takes ten.
"""
