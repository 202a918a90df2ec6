"""A program that speaks the protocol by hand and is at fault in one way, which its argument names."""

import array
import json
import os
import signal
import socket
import sys
import time

CASE, NOTE = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""


def note(text):
    with open(NOTE + ".new", "w") as file:
        file.write(text)
    os.rename(NOTE + ".new", NOTE)


if CASE == "never-connects":
    print("I would rather not")
    sys.exit(4)
if CASE == "forks":
    if os.fork() == 0:
        note(str(os.getpid()))
        time.sleep(600)
        os._exit(0)

link = socket.socket(socket.AF_UNIX)
link.connect(os.environ["PALIMPSEST_SOCKET"])
lines = link.makefile("rw")


def say(**message):
    lines.write(json.dumps(message) + "\n")
    lines.flush()


def raw(text):
    lines.write(text)
    lines.flush()


def table(path, rows, columns, value):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    text += " " * (-(10 + len(text) + 1) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
        file.write(array.array("f", [value] * rows * columns).tobytes())


if CASE == "prints-garbage":
    os.write(1, bytes(range(256)) * 4)
    os.write(2, b"\xff\x00last words\n")
if CASE == "prints-a-flood":
    for _ in range(800):
        os.write(1, b"x" * 65536)
    os.write(1, b"\nthe end\n")
if CASE == "wrong-version":
    say(hello={"protocol": 99})
elif CASE == "garbage":
    raw("GET / HTTP/1.1\n")
elif CASE == "flood":
    try:
        while True:
            raw("x" * 65536)
    except OSError:
        time.sleep(600)
else:
    say(hello={"protocol": 1, "versions": {"client": "by hand"}, "device": "cpu"})

folder = classes = None
evaluations = 0
while True:
    line = lines.readline()
    if not line:
        sys.exit(3)
    ((kind, asked),) = json.loads(line).items()
    if kind == "error":
        print("refused:", asked["reason"])
        sys.exit(5)
    if kind == "begin":
        folder, classes = asked["folder"], asked["classes"]
        if CASE == "hangs":
            note(str(os.getpid()))
            time.sleep(600)
        if CASE == "two-at-once":
            raw('{"ready":{}}\n{"ready":{}}\n')
        else:
            say(ready={"parameters": 3})
        if CASE == "out-of-turn":
            say(loaded={})
    elif kind == "data":
        if CASE == "dies":
            print("no room left", file=sys.stderr, flush=True)
            os._exit(7)
        if CASE == "is-killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if CASE == "closes":
            link.shutdown(socket.SHUT_RDWR)
            time.sleep(600)
        if CASE == "dies-behind-a-fork":
            if os.fork() == 0:
                time.sleep(600)
            os._exit(8)
        say(loaded={})
    elif kind == "train":
        due = asked["until"] - asked["from"]
        told = {"steps": [[due, 1]], "loss": 0.5}
        if CASE == "too-many":
            told["steps"] = [[5000, 1]]
        elif CASE == "too-few":
            told["steps"] = [[1, 1]]
        elif CASE == "goes-on":
            told["steps"] = [[due, 1], [1, 1]]
        elif CASE == "other-ids":
            told["ids"] = list(range(due))
        elif CASE == "no-numbers":
            told = {"steps": told["steps"], "loss": None, "more": 1}
        say(consumed=told)
    elif kind == "evaluate":
        evaluations += 1
        name = "outputs.npy"
        path, columns, value = f"{folder}/{name}", classes, 0.0
        if CASE == "wrong-shape":
            columns -= 1
        if CASE == "nan" and evaluations > 1:
            value = float("nan")
        if CASE == "climbs":
            name, path = "../outputs.npy", f"{folder}/../outputs.npy"
        table(path, asked["rows"], columns, value)
        if CASE == "links":
            os.rename(path, f"{folder}/real.npy")
            os.symlink("real.npy", path)
        say(outputs={"file": name})
    elif kind == "facts":
        say(facts={"looks": evaluations})
    elif kind == "save":
        if CASE == "honest":
            with open(f"{folder}/{asked['file']}", "w") as file:
                file.write("a model")
        say(saved={})
    elif kind == "end":
        say(bye={})
        if CASE == "ends-badly":
            sys.exit(9)
        if CASE == "lingers":
            time.sleep(600)
        sys.exit(0)
