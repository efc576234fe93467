"""SSH keys of the virtual board and of who logs in to it, made anew for each build."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["Key"]


@dataclass(frozen=True, slots=True)
class Key:
    """An Ed25519 key.

    Attributes:
        public: one line, as in ``authorized_keys`` and ``known_hosts``.
        private: as OpenSSH keeps it.
        dropbear: as dropbear keeps it.
    """

    public: str
    private: bytes
    dropbear: bytes

    @classmethod
    def new(cls) -> Key:
        key = Ed25519PrivateKey.generate()
        public = key.public_key()
        seed = key.private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        return cls(line.decode(), private, _string(b"ssh-ed25519") + _string(seed + raw))


def _string(content: bytes) -> bytes:
    """RFC 4251: a length and the bytes."""
    return struct.pack(">I", len(content)) + content
