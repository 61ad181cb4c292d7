# SPDX-License-Identifier: Apache-2.0
"""A wrong configuration of an edge ends with 2 and a line that a person can read, also at a start."""

import pytest

from harness.certificate import make_certificate, make_rsa


@pytest.fixture
def said(edges):
    """said(…): what an edge says to this configuration, which must end it with 2."""

    def make(*args, **config):
        edge = edges(start=False, args=args, **config)
        edge.launch()
        edge.expect_exit(2)
        assert edge.wait(10) == 2, edge.lines()
        return edge.lines()

    return make


def test_a_wrong_address_is_no_reason_to_start_again(said):
    for args in ((), ("--check-config",)):
        assert said(*args, redis_url="rediss://10.0.0.1:6379", listen="8000") == [
            "fanfare-edge: redis_url: TLS to Redis (rediss://) is not supported",
            'fanfare-edge: listen: "8000": expected host:port',
        ]


def test_certificates_are_looked_at(said, edges, tmp_path):
    (tmp_path / "other").mkdir()
    certificate, key = make_certificate(tmp_path)
    other = make_certificate(tmp_path / "other")[1]
    nothing, text = tmp_path / "nothing.pem", tmp_path / "text.pem"
    text.write_text("no PEM")
    for files, expected in [
        ((nothing, key), f"tls_certificate: {nothing}: No such file or directory"),
        ((text, key), f"tls_certificate: {text}: is no PEM certificate"),
        ((certificate, nothing), f"tls_key: {nothing}: No such file or directory"),
        ((certificate, text), f"tls_key: {text}: is no PEM private key without a passphrase"),
        ((certificate, other), f"tls_key: {other}: isn't the certificate's key"),
    ]:
        lines = said("--check-config", tls_certificate=str(files[0]), tls_key=str(files[1]))
        assert lines == [f"fanfare-edge: {expected}"]
    good = {"tls_certificate": str(certificate), "tls_key": str(key), "token_rsa_public_key": make_rsa()[1]}
    edge = edges(start=False, args=["--check-config"], **good)
    edge.launch()
    assert edge.wait(10) == 0
    assert "config ok" in edge.lines()[0]
