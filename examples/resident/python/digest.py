#!/usr/bin/env python3
"""Prints a digest of its standard input; the argument names the algorithm."""

import hashlib

from drakkar_resident import serve


def digest(args, stdin, stdout, stderr):
    algorithm = args[0] if args else "sha256"
    if algorithm == "none":
        stdout.write(stdin)
    elif algorithm in hashlib.algorithms_guaranteed:
        print("computing", algorithm)  # goes to stderr, and harms nobody
        stdout.write(hashlib.new(algorithm, stdin).hexdigest().encode() + b"\n")
    else:
        stderr.write(f"unknown algorithm {algorithm}\n".encode())
        return 2


serve(digest)
