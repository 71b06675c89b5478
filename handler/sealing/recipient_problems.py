"""Why a recipient is refused, and advice for its sender, in English and Chinese.

Each advice names what was seen, if that is known, and a command that turns it into a usable recipient or
creates one.
"""

from __future__ import annotations

from enum import Enum

RECIPIENT_LIMIT = 16 * 1024
"""Characters of one recipient."""
PGP_RECIPIENT_LIMIT = 48 * 1024
"""Characters of one PGP public key block: photos and the signatures of others make some of them long."""

MAKE_AGE_KEY = "age-keygen -o key.txt"
MAKE_SSH_KEY = "ssh-keygen -t ed25519"
MAKE_SSH_RSA_KEY = "ssh-keygen -t rsa -b 3072"
PRINT_SSH_KEY = "cat ~/.ssh/id_ed25519.pub"
FETCH_KEY = "curl -fsS URL"
CONVERT_SSH2_BLOCK = "ssh-keygen -i -f FILE"
CUT_SSH_KEY = "grep -Eo '(ssh|ecdsa)-[a-z0-9-]+ AAAA[^ ]+' FILE"
PRINT_PUBLIC_KEY = "openssl pkey -in key.pem -pubout"
PRINT_CERTIFICATE_KEY = "openssl x509 -in FILE -noout -pubkey"
PRINT_FIRST_CERTIFICATE = "openssl x509 -in FILE"
CONVERT_DER_CERTIFICATE = "openssl x509 -inform DER -in FILE"
CONVERT_DER_KEY = "openssl pkey -pubin -inform DER -in FILE"
MAKE_PEM_KEY = (
    f"openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem && {PRINT_PUBLIC_KEY}"
)
MAKE_RSA_KEY = (
    f"openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out key.pem && {PRINT_PUBLIC_KEY}"
)
MAKE_JWK = """jose jwk gen -i '{"alg":"ECDH-ES+A256KW"}' -o key.jwk && jose jwk pub -i key.jwk"""
PICK_JWK = "jq '.keys[0]' FILE"
RENAME_HSM_TYPE = """jq '.kty |= rtrimstr("-HSM")' FILE"""
MAKE_CERTIFICATE = "openssl req -x509 -newkey rsa:3072 -nodes -keyout key.pem -subj /CN=me -days 365"
MAKE_PGP_KEY = "gpg --quick-generate-key you@example.com && gpg --armor --export you@example.com"
EXTEND_PGP_KEY = "gpg --quick-set-expire KEY 1y"
EXTEND_PGP_SUBKEY = f"{EXTEND_PGP_KEY} SUBKEY"
ADD_PGP_SUBKEY = "gpg --quick-add-key KEY"
LIST_PGP_SUBKEYS = "gpg --list-options show-unusable-subkeys --with-subkey-fingerprint --list-keys KEY"
RENEW_PGP_SUBKEYS = f"{EXTEND_PGP_KEY} '*'"
EXPORT_PGP_KEY = "gpg --armor --export KEY"
EXPORT_SMALL_PGP_KEY = "gpg --armor --export-options export-minimal,no-export-attributes --export KEY"


class RecipientProblem(Enum):
    """Why a recipient is refused: a code, and advice in English and in Chinese."""

    MISSING = (
        "recipient-missing",
        "send recipients, or ask the policy administrator to register some for you",
        "没有可用的公钥。请提供公钥，或请策略管理员为你登记。",
    )
    PRIVATE = (
        "recipient-private-key",
        "this is a private key; replace that key pair, and send only a public key",
        "这是私钥。请更换这对密钥，并且只发送公钥。",
    )
    TOO_LONG = (
        "recipient-too-long",
        f"a recipient has at most {RECIPIENT_LIMIT} characters; send one public key alone",
        f"公钥最多 {RECIPIENT_LIMIT} 个字符。请只发送一个公钥。",
    )
    PGP_TOO_LONG = (
        "recipient-pgp-too-long",
        f"this PGP key is too long; {EXPORT_SMALL_PGP_KEY} prints it without photos and signatures of others",
        f"这个 PGP 公钥太长。请用 `{EXPORT_SMALL_PGP_KEY}` 导出，其中不含照片和他人的签名。",
    )
    CONTROL_CHARACTERS = (
        "recipient-control-characters",
        "the key contains characters that no key has, perhaps invisible ones; copy it again as plain text",
        "公钥里有不该出现的字符，可能是不可见字符。请以纯文本重新复制。",
    )
    SEVERAL = (
        "recipient-several",
        "this text contains several keys; send each recipient as a separate string",
        "这里有多个公钥。请只写一个公钥。",
    )
    SURROUNDING_TEXT = (
        "recipient-surrounding-text",
        "there is text before the key; send the key alone, or begin the other lines with #",
        "公钥前面有其他文字。请只发送公钥，或在其他行的行首加 #。",
    )
    UNKNOWN = (
        "recipient-unknown",
        (
            "send an age recipient, an SSH public key line, a JWK, a certificate or public key in PEM, or a "
            f"PGP public key block; {MAKE_AGE_KEY} creates one"
        ),
        (
            "请发送 age 公钥、一行 SSH 公钥、JWK、PEM 格式的证书或公钥，或 PGP 公钥块。"
            f"可以用 `{MAKE_AGE_KEY}` 生成一个。"
        ),
    )
    FINGERPRINT = (
        "recipient-fingerprint",
        f"this is the fingerprint of a key; send the key itself: {PRINT_SSH_KEY}",
        f"这是公钥的指纹。请发送公钥本身：`{PRINT_SSH_KEY}`。",
    )
    PGP_FINGERPRINT = (
        "recipient-pgp-fingerprint",
        f"this is the fingerprint or the id of a PGP key; send the key itself: {EXPORT_PGP_KEY}",
        f"这是 PGP 公钥的指纹或 ID。请发送公钥本身：`{EXPORT_PGP_KEY}`。",
    )
    FILE_NAME = (
        "recipient-file-name",
        f"this is the name of a file; send what is in it: {PRINT_SSH_KEY}",
        f"这是文件名。请发送文件的内容：`{PRINT_SSH_KEY}`。",
    )
    URL = (
        "recipient-url",
        f"this is an address; send the key that is there: {FETCH_KEY}",
        f"这是网址。请发送该网址上的公钥：`{FETCH_KEY}`。",
    )
    DER = (
        "recipient-der",
        (
            f"this is DER, not text; send PEM: {CONVERT_DER_CERTIFICATE} converts a certificate, "
            f"{CONVERT_DER_KEY} a public key"
        ),
        (
            f"这是 DER，不是文本。请发送 PEM：证书用 `{CONVERT_DER_CERTIFICATE}` 转换，"
            f"公钥用 `{CONVERT_DER_KEY}` 转换。"
        ),
    )
    OTHER_FORMAT = (
        "recipient-other-format",
        (
            "the recipient does not fit the requested format; omit the format, or send age or SSH keys for "
            "age, a JWK for jwe, PEM for cms, a PGP public key block for openpgp"
        ),
        (
            "公钥与请求指定的格式不符。请不指定格式，或按格式发送：age 用 age 或 SSH 公钥，jwe 用 JWK，"
            "cms 用 PEM，openpgp 用 PGP 公钥块。"
        ),
    )
    MIXED_FORMATS = (
        "recipient-mixed-formats",
        (
            "send recipients of one kind: age, ssh-ed25519 and ssh-rsa keys, or JWKs and ecdsa-sha2-… keys, "
            "or PEM, or PGP"
        ),
        "公钥必须都是同一类：age、ssh-ed25519 和 ssh-rsa，或 JWK 和 ecdsa-sha2-…，或 PEM，或 PGP。",
    )
    WITHOUT_ESCROW = (
        "recipient-without-escrow",
        (
            "the policy also seals every key pair to its escrow recipients, and has none of this kind; send "
            "a recipient of another kind"
        ),
        "策略规定私钥还要加密给策略自己的公钥，而其中没有这一类。请换用另一类公钥。",
    )
    BECH32 = (
        "recipient-checksum",
        "the age recipient is mistyped or incomplete; copy it again",
        "age 公钥有误或不完整，请重新复制。",
    )
    PLUGIN = (
        "recipient-plugin",
        f"age plugins are not supported; create a key with {MAKE_AGE_KEY}",
        f"不支持 age 插件。请用 `{MAKE_AGE_KEY}` 生成密钥。",
    )
    AMBIGUOUS = (
        "recipient-ambiguous",
        (
            "another recipient, or one that the policy adds, is a different key with the same id, so tools "
            "may try the wrong part of the envelope; create a new key, or for a JWK choose another kid"
        ),
        (
            "另有一个公钥与它的标识相同，但不是同一个密钥，打开时可能找错。"
            "请重新生成密钥，JWK 也可以换一个 kid。"
        ),
    )
    LOW_ORDER = (
        "recipient-low-order",
        f"this key is insecure; create a new one, for example with {MAKE_AGE_KEY}",
        f"这个公钥起不到保护作用。请重新生成，例如用 `{MAKE_AGE_KEY}`。",
    )
    SSH_TYPE = (
        "recipient-ssh-type",
        f"send an ssh-ed25519, ssh-rsa or ecdsa-sha2-… public key line; {MAKE_SSH_KEY} creates one",
        f"请发送一行 ssh-ed25519、ssh-rsa 或 ecdsa-sha2-… 公钥，可以用 `{MAKE_SSH_KEY}` 生成。",
    )
    SSH_SECURITY_KEY = (
        "recipient-ssh-security-key",
        f"a FIDO security key (sk-…) can sign but cannot decrypt; {MAKE_SSH_KEY} creates a key that can",
        f"FIDO 安全密钥（sk-…）只能签名，不能解密。请用 `{MAKE_SSH_KEY}` 生成能解密的密钥。",
    )
    SSH_MALFORMED = (
        "recipient-ssh-malformed",
        f"the SSH key is cut or damaged; send the whole line of the .pub file: {PRINT_SSH_KEY}",
        f"SSH 公钥不完整或已损坏。请原样发送 .pub 文件中的那一行：`{PRINT_SSH_KEY}`。",
    )
    SSH_OPTIONS = (
        "recipient-ssh-options",
        f"this line of authorized_keys begins with options; send the key without them: {CUT_SSH_KEY}",
        f"这一行 authorized_keys 以选项开头。请去掉选项，只发送公钥：`{CUT_SSH_KEY}`。",
    )
    KNOWN_HOSTS = (
        "recipient-known-hosts",
        f"this line of known_hosts holds the key of a server; send your own public key: {PRINT_SSH_KEY}",
        f"这是 known_hosts 中服务器的公钥。请发送你自己的公钥：`{PRINT_SSH_KEY}`。",
    )
    SSH2_BLOCK = (
        "recipient-ssh2-block",
        f"this is an SSH key in the format of RFC 4716; {CONVERT_SSH2_BLOCK} prints it as one line",
        f"这是 RFC 4716 格式的 SSH 公钥。请用 `{CONVERT_SSH2_BLOCK}` 转换成一行。",
    )
    ED25519_POINT = (
        "recipient-ed25519-point",
        f"this key is invalid; create one with {MAKE_SSH_KEY}",
        f"这个公钥无效。请用 `{MAKE_SSH_KEY}` 生成一个。",
    )
    RSA_SIZE = (
        "recipient-rsa-size",
        f"send an RSA key of 2048 to 8192 bits, or 4096 at most as an SSH key; {MAKE_RSA_KEY} creates one",
        f"请发送 2048 至 8192 位的 RSA 公钥，SSH 公钥最多 4096 位。可以用 `{MAKE_RSA_KEY}` 生成。",
    )
    RSA_EXPONENT = (
        "recipient-rsa-exponent",
        f"send an RSA key with the usual exponent, 65537; {MAKE_RSA_KEY} creates one",
        f"请发送公开指数为 65537 的 RSA 公钥，可以用 `{MAKE_RSA_KEY}` 生成。",
    )
    RSA_MODULUS = (
        "recipient-rsa-modulus",
        f"this RSA key is invalid; create a new one with {MAKE_RSA_KEY}",
        f"这个 RSA 公钥无效。请用 `{MAKE_RSA_KEY}` 重新生成。",
    )
    IMPORT_TYPE = (
        "public-key-not-rsa",
        f"only an ssh-rsa public key line can be imported; {MAKE_SSH_RSA_KEY} creates one",
        f"只能导入一行 ssh-rsa 公钥，可以用 `{MAKE_SSH_RSA_KEY}` 生成。",
    )
    IMPORT_SIZE = (
        "public-key-rsa-size",
        f"only an ssh-rsa key of 2048 to 4096 bits can be imported; {MAKE_SSH_RSA_KEY} creates one",
        f"只能导入 2048 至 4096 位的 ssh-rsa 公钥，可以用 `{MAKE_SSH_RSA_KEY}` 生成。",
    )
    EC_POINT = (
        "recipient-ec-point",
        f"this key is invalid; create a new one with {MAKE_PEM_KEY}",
        f"这个公钥无效。请用 `{MAKE_PEM_KEY}` 重新生成。",
    )
    CURVE = (
        "recipient-curve",
        (
            "send a key on P-256, P-384 or P-521, or X25519 for jwe; "
            f"{MAKE_PEM_KEY} creates one, {MAKE_JWK} a JWK"
        ),
        (
            "请发送 P-256、P-384 或 P-521 曲线上的公钥，JWK 也可以是 X25519。"
            f"可以用 `{MAKE_PEM_KEY}` 生成，JWK 用 `{MAKE_JWK}` 生成。"
        ),
    )
    JWK_MALFORMED = (
        "recipient-jwk-malformed",
        f"send one JWK (RFC 7517); {MAKE_JWK} creates one",
        f"请发送一个符合 RFC 7517 的 JWK，可以用 `{MAKE_JWK}` 生成。",
    )
    JWK_TYPE = (
        "recipient-jwk-type",
        f"send a JWK with kty RSA, EC or OKP; {MAKE_JWK} creates one",
        f"请发送 kty 为 RSA、EC 或 OKP 的 JWK，可以用 `{MAKE_JWK}` 生成。",
    )
    JWK_HSM = (
        "recipient-jwk-hsm",
        f"this JWK has a kty of Azure's Key Vault (…-HSM); {RENAME_HSM_TYPE} prints it with the standard one",
        f"这个 JWK 的 kty 是 Azure Key Vault 特有的（…-HSM）。请用 `{RENAME_HSM_TYPE}` 改成标准写法。",
    )
    JWK_SET_SEVERAL = (
        "recipient-jwk-set-several",
        f"this JWK set has several keys for encryption; send one of them: {PICK_JWK}",
        f"这个 JWK Set 里有多个加密公钥。请只发送其中一个：`{PICK_JWK}`。",
    )
    JWK_USE = (
        "recipient-jwk-use",
        f"send a JWK for encryption by RSA-OAEP-256 or ECDH-ES+A256KW; {MAKE_JWK} creates one",
        f"请发送用于 RSA-OAEP-256 或 ECDH-ES+A256KW 加密的 JWK，可以用 `{MAKE_JWK}` 生成。",
    )
    PEM_TYPE = (
        "recipient-pem-type",
        f"send a CERTIFICATE, PUBLIC KEY or RSA PUBLIC KEY block; {PRINT_PUBLIC_KEY} prints a PUBLIC KEY",
        f"请发送 CERTIFICATE、PUBLIC KEY 或 RSA PUBLIC KEY 块。可以用 `{PRINT_PUBLIC_KEY}` 输出 PUBLIC KEY。",
    )
    PEM_MALFORMED = (
        "recipient-pem-malformed",
        "the PEM block is cut or damaged; send it whole, with its BEGIN and END lines",
        "PEM 块不完整或已损坏。请完整发送，带 BEGIN 和 END 两行。",
    )
    KEY_TYPE = (
        "recipient-key-type",
        f"send an RSA key or one on P-256, P-384 or P-521; {MAKE_PEM_KEY} creates one",
        f"请发送 RSA 公钥，或 P-256、P-384、P-521 曲线上的公钥，可以用 `{MAKE_PEM_KEY}` 生成。",
    )
    CERTIFICATE_CHAIN = (
        "recipient-certificate-chain",
        (
            "this file has several certificates; send the first certificate alone, which "
            f"{PRINT_FIRST_CERTIFICATE} prints: the others belong to the issuer, who could read the key"
        ),
        (
            f"这里有多个证书。请只发送第一个证书，用 `{PRINT_FIRST_CERTIFICATE}` 输出；"
            "其他证书属于颁发者，发送它们会让颁发者也能解密。"
        ),
    )
    CERTIFICATE_MALFORMED = (
        "recipient-certificate-malformed",
        f"this is not a valid certificate; {MAKE_CERTIFICATE} creates one",
        f"这不是有效的证书，可以用 `{MAKE_CERTIFICATE}` 生成一个。",
    )
    CERTIFICATE_NOT_YET = (
        "recipient-certificate-not-yet-valid",
        "this certificate is not valid yet; wait, or send another one",
        "这个证书尚未生效。请换用另一个公钥，或等它生效。",
    )
    CERTIFICATE_EXPIRED = (
        "recipient-certificate-expired",
        f"this certificate has expired; {MAKE_CERTIFICATE} creates a new one",
        f"这个证书已过期。请用 `{MAKE_CERTIFICATE}` 重新生成。",
    )
    CERTIFICATE_USE = (
        "recipient-certificate-use",
        (
            "the certificate's key usage forbids encryption: RSA needs keyEncipherment, EC keyAgreement; "
            f"{MAKE_CERTIFICATE} creates one without limits"
        ),
        (
            "证书的密钥用途不允许加密：RSA 需要 keyEncipherment，EC 需要 keyAgreement。"
            f"可以用 `{MAKE_CERTIFICATE}` 生成不限用途的证书。"
        ),
    )
    CERTIFICATE_AUTHORITY = (
        "recipient-certificate-authority",
        (
            "this certificate belongs to an authority, and its key only signs; send your own certificate, "
            f"not its issuer's; {MAKE_CERTIFICATE} creates one"
        ),
        (
            "这是证书颁发机构的证书，其密钥只用于签名。请发送你自己的证书，而不是颁发者的证书；"
            f"可以用 `{MAKE_CERTIFICATE}` 生成一个。"
        ),
    )
    CERTIFICATE_UNSUITABLE = (
        "recipient-certificate-unsuitable",
        (
            "the certificate has a critical extension or an issuer that is not supported; send only its "
            f"public key, which {PRINT_CERTIFICATE_KEY} prints"
        ),
        f"证书带有无法识别的关键扩展或颁发者。请只发送其中的公钥，用 `{PRINT_CERTIFICATE_KEY}` 输出。",
    )
    PGP_MALFORMED = (
        "recipient-pgp-malformed",
        f"the PGP public key block is cut or damaged; {EXPORT_PGP_KEY} prints it whole",
        f"PGP 公钥块不完整或已损坏。请用 `{EXPORT_PGP_KEY}` 完整导出。",
    )
    PGP_REVOKED = (
        "recipient-pgp-revoked",
        f"this PGP key is revoked; {MAKE_PGP_KEY} creates a new one",
        f"这个 PGP 公钥已被吊销。请用 `{MAKE_PGP_KEY}` 重新生成。",
    )
    PGP_EXPIRED = (
        "recipient-pgp-expired",
        (
            f"this PGP key has expired; extend the key with {EXTEND_PGP_KEY} and its subkey with "
            f"{EXTEND_PGP_SUBKEY}, then export it again; {LIST_PGP_SUBKEYS} prints what has expired"
        ),
        (
            f"这个 PGP 公钥已过期。请用 `{EXTEND_PGP_KEY}` 延长有效期，子密钥用 `{EXTEND_PGP_SUBKEY}`，"
            f"然后重新导出。用 `{LIST_PGP_SUBKEYS}` 可以查看哪些已过期。"
        ),
    )
    PGP_NO_SUBKEY = (
        "recipient-pgp-no-subkey",
        (
            "this PGP key has no subkey for encryption; a minimal export leaves out expired ones: extend it "
            f"with {EXTEND_PGP_SUBKEY}, which {LIST_PGP_SUBKEYS} prints, or add one with {ADD_PGP_SUBKEY}, "
            f"then export it again: {EXPORT_PGP_KEY}"
        ),
        (
            "这个 PGP 公钥里没有用于加密的子密钥；精简导出会去掉已过期的子密钥。"
            f"请用 `{EXTEND_PGP_SUBKEY}` 延长（子密钥指纹用 `{LIST_PGP_SUBKEYS}` 查看），"
            f"或用 `{ADD_PGP_SUBKEY}` 添加一个，然后用 `{EXPORT_PGP_KEY}` 重新导出。"
        ),
    )
    PGP_SHA1 = (
        "recipient-pgp-sha1",
        (
            "this PGP key is signed with SHA-1 or RIPEMD, which are broken; keep the key and renew its "
            f"signatures with {EXTEND_PGP_KEY} and {RENEW_PGP_SUBKEYS}, then export it again: "
            f"{EXPORT_PGP_KEY}"
        ),
        (
            "这个 PGP 公钥的自签名使用了不再安全的 SHA-1 或 RIPEMD。不必换密钥，请用 "
            f"`{EXTEND_PGP_KEY}` 和 `{RENEW_PGP_SUBKEYS}` 更新签名，然后用 `{EXPORT_PGP_KEY}` 重新导出。"
        ),
    )
    PGP_USE = (
        "recipient-pgp-use",
        f"this PGP key cannot encrypt; {MAKE_PGP_KEY} creates one that can",
        f"这个 PGP 公钥不能用于加密。请用 `{MAKE_PGP_KEY}` 生成能加密的密钥。",
    )
    OPENPGP_NOT_INSTALLED = (
        "recipient-openpgp-not-installed",
        f"this function does not support OpenPGP; send another kind of recipient: {MAKE_AGE_KEY} creates one",
        f"这里不支持 OpenPGP。请换用另一类公钥，可以用 `{MAKE_AGE_KEY}` 生成。",
    )
    UNUSABLE = (
        "recipient-unusable",
        f"this key cannot be used for encryption; create a new one with {MAKE_AGE_KEY}",
        f"无法用这个公钥加密。请用 `{MAKE_AGE_KEY}` 重新生成。",
    )

    def __init__(self, code: str, advice: str, advice_zh: str) -> None:
        self.code = code
        self.advice = advice
        self.advice_zh = advice_zh
