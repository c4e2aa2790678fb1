"""Verifies every DKIM signature of the messages in a file.

Usage: dkimverify.py MESSAGES SIGNATURES NAME RECORD...
Messages stand one after the other, each after a line with its length.
"""
import sys

import dkim

records = dict(zip(sys.argv[3::2], sys.argv[4::2]))


def record(name, timeout=5):
    return records[name.decode().rstrip(".")].encode()


good = 0
with open(sys.argv[1], "rb") as f:
    while line := f.readline():
        text = f.read(int(line))
        message = dkim.DKIM(text)
        for i in range(int(sys.argv[2])):
            if not message.verify(idx=i, dnsfunc=record):
                sys.exit("message %d: signature %d does not hold:\n%s" % (good, i, text.decode("latin-1")))
        good += 1
print("good:", good)
