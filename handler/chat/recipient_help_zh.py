"""The Chinese texts for `handler.sealing.recipient_problems`: what to send instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.chat.platforms.base import Locale
from handler.sealing.recipient_problems import (
    EXTEND_PGP_KEY,
    EXTEND_PGP_SUBKEY,
    MAKE_AGE_KEY,
    MAKE_CERTIFICATE,
    MAKE_JWK,
    MAKE_PEM_KEY,
    MAKE_PGP_KEY,
    MAKE_RSA_KEY,
    MAKE_SSH_KEY,
    PRINT_CERTIFICATE_KEY,
    PRINT_PUBLIC_KEY,
    PRINT_RSA_PUBLIC_KEY,
    RECIPIENT_LIMIT,
    RecipientProblem,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHINESE: Mapping[RecipientProblem, str] = {
    RecipientProblem.MISSING: "没有可用的公钥。请提供公钥，或请策略管理员为你登记。",
    RecipientProblem.PRIVATE: "这是私钥。请更换这对密钥，并且只发送公钥。",
    RecipientProblem.TOO_LONG: f"公钥最多 {RECIPIENT_LIMIT} 个字符。",
    RecipientProblem.CONTROL_CHARACTERS: "公钥里有控制字符。请只发送可见的普通文本。",
    RecipientProblem.SEVERAL: "请只写一个公钥；只有 PEM、PGP 和 JSON 可以有多行。",
    RecipientProblem.UNKNOWN: (
        "请发送 age 公钥、一行 ssh-ed25519 或 ssh-rsa 公钥、JWK、PEM 格式的证书或公钥，或 PGP 公钥块。"
        f"可以用 `{MAKE_AGE_KEY}` 生成一个。"
    ),
    RecipientProblem.OTHER_FORMAT: (
        "公钥与请求指定的格式不符。请不指定格式，或按格式发送：age 用 age 或 SSH 公钥，jwe 用 JWK，"
        "cms 用 PEM，openpgp 用 PGP 公钥块。"
    ),
    RecipientProblem.MIXED_FORMATS: "公钥必须都是同一类：age 和 SSH，或 JWK，或 PEM，或 PGP。",
    RecipientProblem.WITHOUT_ESCROW: (
        "策略规定私钥还要加密给策略自己的公钥，而其中没有这一类。请换用另一类公钥。"
    ),
    RecipientProblem.AMBIGUOUS: (
        "另有一个公钥与它的标识相同，但不是同一个密钥，打开时可能找错。请重新生成密钥，JWK 也可以换一个 kid。"
    ),
    RecipientProblem.BECH32: "age 公钥有误或不完整，请重新复制。",
    RecipientProblem.PLUGIN: f"不支持 age 插件。请用 `{MAKE_AGE_KEY}` 生成密钥。",
    RecipientProblem.LOW_ORDER: f"这个公钥起不到保护作用。请重新生成，例如用 `{MAKE_AGE_KEY}`。",
    RecipientProblem.SSH_TYPE: f"请发送一行 ssh-ed25519 或 ssh-rsa 公钥，可以用 `{MAKE_SSH_KEY}` 生成。",
    RecipientProblem.SSH_MALFORMED: "请原样发送 .pub 文件中的那一行。",
    RecipientProblem.ED25519_POINT: f"这个公钥无效。请用 `{MAKE_SSH_KEY}` 生成一个。",
    RecipientProblem.RSA_SIZE: (
        f"请发送 2048 至 8192 位的 RSA 公钥，SSH 公钥最多 4096 位。可以用 `{MAKE_RSA_KEY}` 生成。"
    ),
    RecipientProblem.RSA_EXPONENT: f"请发送公开指数为 65537 的 RSA 公钥，可以用 `{MAKE_RSA_KEY}` 生成。",
    RecipientProblem.RSA_MODULUS: f"这个 RSA 公钥无效。请用 `{MAKE_RSA_KEY}` 重新生成。",
    RecipientProblem.EC_POINT: f"这个公钥无效。请用 `{MAKE_PEM_KEY}` 重新生成。",
    RecipientProblem.CURVE: (
        "请发送 P-256、P-384 或 P-521 曲线上的公钥，JWK 也可以是 X25519。"
        f"可以用 `{MAKE_PEM_KEY}` 生成，JWK 用 `{MAKE_JWK}` 生成。"
    ),
    RecipientProblem.JWK_MALFORMED: f"请发送一个符合 RFC 7517 的 JWK，可以用 `{MAKE_JWK}` 生成。",
    RecipientProblem.JWK_TYPE: f"请发送 kty 为 RSA、EC 或 OKP 的 JWK，可以用 `{MAKE_JWK}` 生成。",
    RecipientProblem.JWK_USE: (
        f"请发送用于 RSA-OAEP-256 或 ECDH-ES+A256KW 加密的 JWK，可以用 `{MAKE_JWK}` 生成。"
    ),
    RecipientProblem.PEM_TYPE: (
        f"请发送 CERTIFICATE 或 PUBLIC KEY 块。后者可以用 `{PRINT_PUBLIC_KEY}` 输出，"
        f"原来是 RSA PUBLIC KEY 的用 `{PRINT_RSA_PUBLIC_KEY}`。"
    ),
    RecipientProblem.PEM_MALFORMED: "请发送一个完整的 PEM 块，带 BEGIN 和 END 两行，前后没有其他内容。",
    RecipientProblem.KEY_TYPE: (
        f"请发送 RSA 公钥，或 P-256、P-384、P-521 曲线上的公钥，可以用 `{MAKE_PEM_KEY}` 生成。"
    ),
    RecipientProblem.CERTIFICATE_MALFORMED: f"这不是有效的证书，可以用 `{MAKE_CERTIFICATE}` 生成一个。",
    RecipientProblem.CERTIFICATE_NOT_YET: "这个证书尚未生效。请换用另一个公钥，或等它生效。",
    RecipientProblem.CERTIFICATE_EXPIRED: f"这个证书已过期。请用 `{MAKE_CERTIFICATE}` 重新生成。",
    RecipientProblem.CERTIFICATE_USE: (
        "证书的密钥用途不允许加密：RSA 需要 keyEncipherment，EC 需要 keyAgreement。"
        f"可以用 `{MAKE_CERTIFICATE}` 生成不限用途的证书。"
    ),
    RecipientProblem.CERTIFICATE_UNSUITABLE: (
        f"证书带有无法识别的关键扩展或颁发者。请只发送其中的公钥，用 `{PRINT_CERTIFICATE_KEY}` 输出。"
    ),
    RecipientProblem.PGP_MALFORMED: f"请发送一个 PGP 公钥块，可以用 `{MAKE_PGP_KEY}` 生成并导出。",
    RecipientProblem.PGP_REVOKED: f"这个 PGP 公钥已被吊销。请用 `{MAKE_PGP_KEY}` 重新生成。",
    RecipientProblem.PGP_EXPIRED: (
        f"这个 PGP 公钥已过期。请用 `{EXTEND_PGP_KEY}` 延长有效期，子密钥用 `{EXTEND_PGP_SUBKEY}`，"
        "然后重新导出。"
    ),
    RecipientProblem.PGP_USE: f"这个 PGP 公钥不能用于加密。请用 `{MAKE_PGP_KEY}` 生成能加密的密钥。",
    RecipientProblem.OPENPGP_NOT_INSTALLED: (
        f"这里不支持 OpenPGP。请换用另一类公钥，可以用 `{MAKE_AGE_KEY}` 生成。"
    ),
    RecipientProblem.UNUSABLE: f"无法用这个公钥加密。请用 `{MAKE_AGE_KEY}` 重新生成。",
}


def recipient_help(problem: RecipientProblem, locale: Locale) -> str:
    """Return what to send instead of a refused recipient."""
    return _CHINESE[problem] if locale is Locale.ZH else problem.advice
