#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""notify_socket.py PATH - stands in for systemd: binds PATH, prints each datagram as one line until it is ended."""
import socket
import sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode().replace("\n", " "), flush=True)
