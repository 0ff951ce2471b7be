"""The library from another language, by nothing but what ddes.h says: LIBRARY HOST:PORT KEY TRUST."""

import ctypes
import sys


class Options(ctypes.Structure):
    texts = "server home identity passphrase trust outbox suite".split()
    _fields_ = [
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_char_p) for name in texts),
        ("timeout_ms", ctypes.c_int64),
        ("patience_ms", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


class Balance(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_uint64),
        ("sum_low", ctypes.c_uint64),
        ("sum_high", ctypes.c_int64),
        ("sum", ctypes.c_char * 48),
    ]


library, server, key, trust = sys.argv[1:]
ddes = ctypes.CDLL(library)
ddes.ddes_last_error.restype = ctypes.c_char_p
ddes.ddes_add.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
for name in ["ddes_flush", "ddes_close"]:
    getattr(ddes, name).argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Balance)]


def call(name, *arguments):
    status = getattr(ddes, name)(*arguments)
    assert status == 0, (name, status, ddes.ddes_last_error())


client, before, after = ctypes.c_void_p(), Balance(), Balance()
options = Options(
    ctypes.sizeof(Options), server.encode(), identity=key.encode(), trust=trust.encode()
)
call("ddes_open", ctypes.byref(options), ctypes.byref(client))
call("ddes_flush", client, 60_000, before)
call("ddes_add", client, 2**62, -1)
call("ddes_close", client, 60_000, after)
total = (after.sum_high << 64) + after.sum_low
assert total == (before.sum_high << 64) + before.sum_low + 2**62 == int(after.sum)
assert after.count == before.count + 1
assert ddes.ddes_add(client, 1, -1) == 2 and b"closed" in ddes.ddes_last_error()
print(total)
