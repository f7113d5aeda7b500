"""Keys to sign with, made for the tests."""

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SHARED = b"0123456789abcdef0123456789abcdef"

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_pem(key: Private) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Private) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def pairs() -> dict[str, tuple[bytes, bytes]]:
    """What signs and what verifies, by algorithm."""
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    return {
        "HS256": (SHARED, SHARED),
        "hmac-sha256": (SHARED, SHARED),
        "ES256": (private_pem(curve), public_pem(curve)),
        "EdDSA": (private_pem(edwards), public_pem(edwards)),
    }
