"""Why a recipient is refused, and advice for its sender."""

from __future__ import annotations

from enum import Enum

RECIPIENT_LIMIT = 16 * 1024
"""Characters of one recipient."""

# The commands in the advice, in all languages.
MAKE_AGE_KEY = "age-keygen -o key.txt"
MAKE_SSH_KEY = "ssh-keygen -t ed25519"
PRINT_PUBLIC_KEY = "openssl pkey -in key.pem -pubout"
PRINT_RSA_PUBLIC_KEY = "openssl rsa -RSAPublicKey_in -in FILE -pubout"
PRINT_CERTIFICATE_KEY = "openssl x509 -in FILE -noout -pubkey"
MAKE_PEM_KEY = (
    f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem && {PRINT_PUBLIC_KEY}"
)
MAKE_RSA_KEY = (
    f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key.pem && {PRINT_PUBLIC_KEY}"
)
MAKE_JWK = """jose jwk gen -i '{"alg":"ECDH-ES+A256KW"}' -o key.jwk && jose jwk pub -i key.jwk"""
MAKE_CERTIFICATE = "openssl req -x509 -newkey rsa:3072 -nodes -keyout key.pem -subj /CN=me -days 365"
MAKE_PGP_KEY = "gpg --quick-generate-key you@example.com && gpg --armor --export you@example.com"
EXTEND_PGP_KEY = "gpg --quick-set-expire KEY 1y"
EXTEND_PGP_SUBKEY = f"{EXTEND_PGP_KEY} SUBKEY"


class RecipientProblem(Enum):
    """Why a recipient is refused: a code, and advice with a command that creates a usable key."""

    MISSING = (
        "recipient-missing",
        "send recipients, or ask the policy administrator to register some for you",
    )
    PRIVATE = (
        "recipient-private-key",
        "this is a private key; replace that key pair, and send only a public key",
    )
    TOO_LONG = ("recipient-too-long", f"a recipient has at most {RECIPIENT_LIMIT} characters")
    CONTROL_CHARACTERS = ("recipient-control-characters", "send plain printable text")
    SEVERAL = (
        "recipient-several",
        "send each recipient as a separate string; only PEM, PGP and JSON may have several lines",
    )
    UNKNOWN = (
        "recipient-unknown",
        (
            "send an age recipient, an ssh-ed25519 or ssh-rsa public key line, a JWK, a certificate or "
            f"public key in PEM, or a PGP public key block; {MAKE_AGE_KEY} creates one"
        ),
    )
    OTHER_FORMAT = (
        "recipient-other-format",
        (
            "the recipient does not fit the requested format; omit the format, or send age or SSH keys for "
            "age, a JWK for jwe, PEM for cms, a PGP public key block for openpgp"
        ),
    )
    MIXED_FORMATS = (
        "recipient-mixed-formats",
        "send recipients of one kind: age and SSH keys, or JWKs, or PEM, or PGP",
    )
    WITHOUT_ESCROW = (
        "recipient-without-escrow",
        (
            "the policy also seals every key pair to its escrow recipients, and has none of this kind; send "
            "a recipient of another kind"
        ),
    )
    AMBIGUOUS = (
        "recipient-ambiguous",
        (
            "another recipient, or one that the policy adds, is a different key with the same id, so tools "
            "may try the wrong part of the envelope; create a new key, or for a JWK choose another kid"
        ),
    )
    BECH32 = ("recipient-checksum", "the age recipient is mistyped or incomplete; copy it again")
    PLUGIN = ("recipient-plugin", f"age plugins are not supported; create a key with {MAKE_AGE_KEY}")
    LOW_ORDER = (
        "recipient-low-order",
        f"this key is insecure; create a new one, for example with {MAKE_AGE_KEY}",
    )
    SSH_TYPE = (
        "recipient-ssh-type",
        f"send an ssh-ed25519 or ssh-rsa public key line; {MAKE_SSH_KEY} creates one",
    )
    SSH_MALFORMED = ("recipient-ssh-malformed", "send the line exactly as it is in the .pub file")
    ED25519_POINT = ("recipient-ed25519-point", f"this key is invalid; create one with {MAKE_SSH_KEY}")
    RSA_SIZE = (
        "recipient-rsa-size",
        f"send an RSA key of 2048 to 8192 bits, or 4096 at most as an SSH key; {MAKE_RSA_KEY} creates one",
    )
    RSA_EXPONENT = (
        "recipient-rsa-exponent",
        f"send an RSA key with the usual exponent, 65537; {MAKE_RSA_KEY} creates one",
    )
    RSA_MODULUS = ("recipient-rsa-modulus", f"this RSA key is invalid; create a new one with {MAKE_RSA_KEY}")
    EC_POINT = ("recipient-ec-point", f"this key is invalid; create a new one with {MAKE_PEM_KEY}")
    CURVE = (
        "recipient-curve",
        (
            "send a key on P-256, P-384 or P-521, or X25519 for jwe; "
            f"{MAKE_PEM_KEY} creates one, {MAKE_JWK} a JWK"
        ),
    )
    JWK_MALFORMED = ("recipient-jwk-malformed", f"send one JWK (RFC 7517); {MAKE_JWK} creates one")
    JWK_TYPE = ("recipient-jwk-type", f"send a JWK with kty RSA, EC or OKP; {MAKE_JWK} creates one")
    JWK_USE = (
        "recipient-jwk-use",
        f"send a JWK for encryption by RSA-OAEP-256 or ECDH-ES+A256KW; {MAKE_JWK} creates one",
    )
    PEM_TYPE = (
        "recipient-pem-type",
        (
            f"send a CERTIFICATE or PUBLIC KEY block; {PRINT_PUBLIC_KEY} prints a PUBLIC KEY, and for an "
            f"RSA PUBLIC KEY, {PRINT_RSA_PUBLIC_KEY} does"
        ),
    )
    PEM_MALFORMED = (
        "recipient-pem-malformed",
        "send one block with its BEGIN and END lines and nothing else",
    )
    KEY_TYPE = (
        "recipient-key-type",
        f"send an RSA key or one on P-256, P-384 or P-521; {MAKE_PEM_KEY} creates one",
    )
    CERTIFICATE_MALFORMED = (
        "recipient-certificate-malformed",
        f"this is not a valid certificate; {MAKE_CERTIFICATE} creates one",
    )
    CERTIFICATE_NOT_YET = (
        "recipient-certificate-not-yet-valid",
        "this certificate is not valid yet; wait, or send another one",
    )
    CERTIFICATE_EXPIRED = (
        "recipient-certificate-expired",
        f"this certificate has expired; {MAKE_CERTIFICATE} creates a new one",
    )
    CERTIFICATE_USE = (
        "recipient-certificate-use",
        (
            "the certificate's key usage forbids encryption: RSA needs keyEncipherment, EC keyAgreement; "
            f"{MAKE_CERTIFICATE} creates one without limits"
        ),
    )
    CERTIFICATE_UNSUITABLE = (
        "recipient-certificate-unsuitable",
        (
            "the certificate has a critical extension or an issuer that is not supported; send only its "
            f"public key, which {PRINT_CERTIFICATE_KEY} prints"
        ),
    )
    PGP_MALFORMED = ("recipient-pgp-malformed", f"send one PGP public key block; {MAKE_PGP_KEY} prints one")
    PGP_REVOKED = ("recipient-pgp-revoked", f"this PGP key is revoked; {MAKE_PGP_KEY} creates a new one")
    PGP_EXPIRED = (
        "recipient-pgp-expired",
        (
            f"this PGP key has expired; extend the key with {EXTEND_PGP_KEY} or a subkey with "
            f"{EXTEND_PGP_SUBKEY}, then export it again"
        ),
    )
    PGP_USE = ("recipient-pgp-use", f"this PGP key cannot encrypt; {MAKE_PGP_KEY} creates one that can")
    OPENPGP_NOT_INSTALLED = (
        "recipient-openpgp-not-installed",
        f"this function does not support OpenPGP; send another kind of recipient: {MAKE_AGE_KEY} creates one",
    )
    UNUSABLE = (
        "recipient-unusable",
        f"this key cannot be used for encryption; create a new one with {MAKE_AGE_KEY}",
    )

    def __init__(self, code: str, advice: str) -> None:
        self.code = code
        self.advice = advice
