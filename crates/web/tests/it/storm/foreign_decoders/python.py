"""Reads lines of a coding and a path, and compares each body with its plain form, decoded at once and byte by byte."""

import gzip
import http.client
import sys
import zlib


def fetch(path, coding):
    connection.request("GET", path, headers={"Accept-Encoding": coding})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ValueError(f"status {answer.status}")
    return answer.headers.get("Content-Encoding", "identity"), body


def at_once(coding, body):
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "br":
        import brotli

        return brotli.decompress(body)
    import zstandard

    # A stream does not say its size, which the other functions want to know.
    with zstandard.ZstdDecompressor().stream_reader(body) as reader:
        return reader.read()


def byte_by_byte(coding, body):
    if coding == "gzip":
        decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
        decode, is_ended = decoder.decompress, lambda: decoder.eof
    elif coding == "br":
        import brotli

        decoder = brotli.Decompressor()
        decode, is_ended = decoder.process, decoder.is_finished
    else:
        import zstandard

        decoder = zstandard.ZstdDecompressor().decompressobj()
        decode, is_ended = decoder.decompress, lambda: decoder.eof
    decoded = bytearray()
    for at in range(len(body)):
        if is_ended():
            raise ValueError(f"{len(body) - at} bytes behind the end")
        decoded += decode(body[at : at + 1])
    if not is_ended():
        raise ValueError("no end")
    return bytes(decoded)


connection = http.client.HTTPConnection(sys.argv[1], timeout=60)
lines = sys.stdin.read().split("\n")[:-1]
for line in lines:
    coding, path = line.split(" ")
    try:
        _, plain = fetch(path + "?plain", "identity")
        sent_as, body = fetch(path, coding)
        if sent_as == "identity":
            decoders = [lambda _, body: body]
        elif sent_as == coding:
            decoders = [at_once, byte_by_byte]
        else:
            raise ValueError(f"sent as {sent_as}")
        for decoder in decoders:
            if decoder(coding, body) != plain:
                raise ValueError(f"{decoder.__name__}: other bytes")
    except Exception as error:
        print(f"{path} as {coding}: {error!r}".replace("\n", " "))
print(f"{len(lines)} bodies")
