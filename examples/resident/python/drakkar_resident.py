"""The resident protocol of Drakkar (docs/resident.md), for Python 3.8 and later.

Copy this file beside your program. It needs nothing else.
"""

import base64
import io
import json
import os
import struct
import sys
import traceback


def serve(handle):
    """Calls handle(args, stdin, stdout, stderr) for each task and never returns.

    args are str, stdin is bytes, stdout and stderr take bytes. handle returns
    the exit code; None is 0. An exception is exit code 1, with its traceback;
    sys.exit, as argparse calls it, ends the task and not the program.

    Print as you like: what does not go to stdout becomes part of the task's
    stderr. When the program was not started as a resident one, it does the one
    task of its arguments and its standard input.
    """
    framing = os.environ.pop("DRAKKAR_RESIDENT", None)  # not for our own children
    requests, answers = _take_streams()
    if framing is None:
        err = io.BytesIO()
        code = _run(handle, sys.argv[1:], requests.read(), answers, err)
        answers.flush()
        sys.stdout.flush()
        sys.stderr.buffer.write(err.getvalue())
        sys.exit(code)
    _write(answers, framing, {"ready": 1})
    while True:
        request = _read(requests, framing)
        if request is None:  # the end of the input: nothing is left to do
            sys.exit(0)
        out, err = io.BytesIO(), io.BytesIO()
        args = [os.fsdecode(_decode(arg)) for arg in request["args"]]
        code = _run(handle, args, _decode(request.get("stdin")), out, err)
        sys.stdout.flush()  # what was printed belongs to this task
        sys.stderr.flush()
        _write(answers, framing, {
            "id": request["id"],
            "exit_code": code,
            "stdout": _encode(out.getvalue()),
            "stderr": _encode(err.getvalue()),
        })


def _run(handle, args, stdin, out, err):
    try:
        return (handle(args, stdin, out, err) or 0) & 0xFF  # as of a process
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        err.write(f"{end.code}\n".encode(errors="backslashreplace"))
        return 1
    except Exception:  # a task that fails is no reason to end
        err.write(traceback.format_exc().encode(errors="backslashreplace"))
        return 1


def _take_streams():
    """Keeps the two streams of the protocol away from everything else: libraries
    and children get an empty stdin, and a stdout that is stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return requests, answers


def _read(stream, framing):
    if framing == "length":
        head = stream.read(4)
        message = stream.read(struct.unpack(">I", head)[0]) if len(head) == 4 else b""
    else:
        message = stream.readline()
    return json.loads(message) if message else None


def _write(stream, framing, message):
    data = json.dumps(message).encode()
    stream.write(struct.pack(">I", len(data)) + data if framing == "length" else data + b"\n")
    stream.flush()


def _decode(value):
    """The bytes of a value: text, {"base64": ...}, or nothing."""
    if value is None:
        return b""
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return value.encode()


def _encode(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
