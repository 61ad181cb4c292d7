# SPDX-License-Identifier: Apache-2.0
"""The border between bytes and the cases' strings, and what Python 3 does differently for them.

Must be imported before the cases: they validate and print their payloads while they are being defined.
"""

import binascii

import zope.interface

zope.interface.implements = lambda *interfaces: None  # Python 2's class advice does not exist any more

from autobahn.websocket import utf8validator  # noqa: E402


def raw(value):
    return value.encode("latin-1") if isinstance(value, str) else value


def soft(value):
    return value.decode("latin-1")


_hexlify = binascii.b2a_hex
_validate = utf8validator.Utf8Validator.validate
binascii.b2a_hex = lambda data: _hexlify(raw(data)).decode()
utf8validator.Utf8Validator.validate = lambda self, data: _validate(self, raw(data))
