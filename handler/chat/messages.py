"""All that the bot says, in English and Chinese: short, what to do next, and nothing of what is inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handler.chat.platforms.base import Block, Locale, Reply
from handler.chat.recipient_help_zh import advice
from handler.errors import NotUnderstood, RecipientRefused, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handler.chat.platforms.base import Message
    from handler.errors import KeyPairFunctionError
    from handler.issuance.issuer import IssuedKeyPair

_WHAT = {
    Locale.EN: (
        "I make an SSH key pair in Tencent Cloud and give you its private key, encrypted to your public key."
    ),
    Locale.ZH: "我会在腾讯云创建 SSH 密钥对，并把私钥用你的公钥加密后交给你。",
}
# By whether the text is authenticated: without that, `for` would be refused, so it is not offered.
_EXAMPLES = {
    True: {
        Locale.EN: (
            "/keypair web_1\n/keypair web_1 for age1…\n"
            "/keypair web_1 for github:alice in ap-guangzhou expires 30d"
        ),
        Locale.ZH: (
            "/keypair web_1\n/keypair web_1 for age1…\n"
            "/keypair web_1 给 github:alice 在 ap-guangzhou 有效期 30d"
        ),
    },
    False: {
        Locale.EN: "/keypair web_1\n/keypair web_1 in ap-guangzhou expires 30d",
        Locale.ZH: "/keypair web_1\n/keypair web_1 在 ap-guangzhou 有效期 30d",
    },
}
_SEALED_TO = {
    True: {
        Locale.EN: (
            "Without `for` I take your registered keys. After it: an age, SSH, PEM or PGP public key, a JWK, "
            "or place:user."
        ),
        Locale.ZH: (
            "不写 `for`（给）时，使用为你登记的公钥加密。"
            "`for`（给）之后可以写 age、SSH、PEM 或 PGP 公钥、JWK，或“平台:用户名”。"
        ),
    },
    False: {
        Locale.EN: "I take the public keys that are registered for you.",
        Locale.ZH: "使用为你登记的公钥加密。",
    },
}

_WORKING = {
    Locale.EN: "I am on it. The answer comes in a moment, to you alone.",
    Locale.ZH: "正在处理，稍后只回复给你一个人。",
}

_UNFIT = {
    Locale.EN: "The policy and the account do not fit together here. Ask the keeper of the policy.",
    Locale.ZH: "策略与账号的设置不一致。请联系策略管理员。",
}
# By reason, else by code.
_REFUSALS: Mapping[str, Mapping[Locale, str]] = {
    "command-name": {
        Locale.EN: "That is no name for a key pair. Use letters, digits and _, 25 at most.",
        Locale.ZH: "密钥对名称不正确。请使用字母、数字和下划线，最多 25 个字符。",
    },
    "command-recipient": {
        Locale.EN: "A public key is missing after `for`. Paste one, or leave `for` out.",
        Locale.ZH: "`for`（给）之后缺少公钥。请粘贴公钥，或去掉 `for`（给）。",
    },
    "command-region": {
        Locale.EN: "That is no region. Write one such as ap-guangzhou after `in`.",
        Locale.ZH: "地域不正确。请在 `in`（在）之后写地域，例如 ap-guangzhou。",
    },
    "command-expiry": {
        Locale.EN: "That is no duration. Write one such as 90m, 12h or 30d after `expires`.",
        Locale.ZH: "有效期不正确。请在 `expires`（有效期）之后写时长，例如 90m、12h 或 30d。",
    },
    "command-twice": {
        Locale.EN: "A part of the command appears twice. Write each once at most, as here:",
        Locale.ZH: "命令中有重复的部分。每个部分最多写一次，例如：",
    },
    "command-word": {
        Locale.EN: "I do not know the word after the name. Write it as here:",
        Locale.ZH: "名称后面有无法识别的内容。请参照这些例子：",
    },
    "command-other": {
        Locale.EN: "I did not understand that. This is what I know:",
        Locale.ZH: "我没有听懂。可用的命令如下：",
    },
    "unregistered": {
        Locale.EN: "I do not know you yet. Ask the keeper of the policy to register this:",
        Locale.ZH: "你尚未登记。请把以下内容发给策略管理员登记：",
    },
    "not-granted": {
        Locale.EN: "The policy does not grant you this. Ask for another name or region, or ask its keeper.",
        Locale.ZH: "策略不允许这一请求。请换一个名称或地域，或联系策略管理员。",
    },
    "not-granted-own-recipients": {
        Locale.EN: "You may not bring a public key. Leave out `for`: your registered keys are used.",
        Locale.ZH: "你不能自带公钥。请去掉 `for`（给），我会使用为你登记的公钥。",
    },
    "chat-own-recipients": {
        Locale.EN: "No public key can be taken from here. Leave out `for`: your registered keys are used.",
        Locale.ZH: "这里不能使用自带的公钥。请去掉 `for`（给），我会使用为你登记的公钥。",
    },
    "chat-not-private": {
        Locale.EN: "Others read this chat. Write to me directly.",
        Locale.ZH: "这个会话里还有其他人。请与我单独对话。",
    },
    "not-granted-expiry": {
        Locale.EN: "The policy grants you a shorter life only. Write less after `expires`, or leave it out.",
        Locale.ZH: "策略只允许更短的有效期。请把 `expires`（有效期）之后的时长改短，或去掉它。",
    },
    "name-taken": {
        Locale.EN: "A key pair of this name exists. Choose another name.",
        Locale.ZH: "同名的密钥对已存在，请换一个名称。",
    },
    "recipient-refused": {
        Locale.EN: "This public key cannot be used. What to do:",
        Locale.ZH: "无法使用这个公钥，处理方法：",
    },
    "keys-not-found": {
        Locale.EN: "I found no ssh-ed25519 or ssh-rsa key there. Check place and user after `for`.",
        Locale.ZH: "没有找到 ssh-ed25519 或 ssh-rsa 公钥。请检查 `for`（给）之后的平台和用户名。",
    },
    "keys-unavailable": {
        Locale.EN: "The place of the public keys does not answer. Try again later, or paste a public key.",
        Locale.ZH: "公钥所在的平台没有应答。请稍后再试，或直接粘贴公钥。",
    },
    "rate-limited": {
        Locale.EN: "You have asked too often. Wait a while, then send the command again.",
        Locale.ZH: "请求过于频繁。请稍候再发送命令。",
    },
    "outcome-unknown": {
        Locale.EN: (
            "I do not know whether the key pair was made. "
            "Ask with another name; what is left over is removed by itself."
        ),
        Locale.ZH: "无法确定密钥对是否已创建。请换一个名称重试，遗留的密钥对会自动删除。",
    },
    "invoke-unknown": {
        Locale.EN: (
            "I may not have received that. If nothing comes within a minute, send the command again."
        ),
        Locale.ZH: "可能没有收到你的命令。如果一分钟内没有结果，请重新发送。",
    },
    "reply-not-delivered": {
        Locale.EN: "The key pair was made, but I could not give it to you. Ask with another name.",
        Locale.ZH: "密钥对已创建，但没能交给你。请换一个名称重试。",
    },
    "quota-reached": {
        Locale.EN: "The account is full of key pairs. Ask its owner to delete some.",
        Locale.ZH: "账号的密钥对数量已达上限。请联系账号管理员删除一些。",
    },
    "project-not-found": _UNFIT,
    "tags-refused": _UNFIT,
}

_LATER = {
    Locale.EN: "That did not work. Wait a minute, then send the command again.",
    Locale.ZH: "操作没有成功。请稍等一分钟，再发送命令。",
}
_BROKEN = {
    Locale.EN: "That did not work. Tell whoever runs this bot.",
    Locale.ZH: "操作没有成功。请联系机器人管理员。",
}
_CHANGE = {
    Locale.EN: "That cannot be done as it stands. Send `/keypair help` to see what I know.",
    Locale.ZH: "无法执行这个请求。发送 `/keypair help` 查看可用的命令。",
}

_ISSUED = {
    Locale.EN: (
        "Here is your key pair: ",
        "Region: ",
        "Key id: ",
        "Fingerprint: ",
        "Sealed to: ",
        "Expires: ",
    ),
    Locale.ZH: ("密钥对已创建：", "地域：", "密钥 ID：", "指纹：", "加密所用公钥：", "到期时间："),
}
_PUBLIC = {Locale.EN: "Public key:", Locale.ZH: "公钥："}
_SAVE = {
    Locale.EN: "Encrypted private key; save it as `{}`:",
    Locale.ZH: "加密后的私钥，请保存为 `{}`：",
}
_FETCH = {
    Locale.EN: "The encrypted private key is too long to post. Fetch it within an hour; the link works once:",
    Locale.ZH: "加密后的私钥太长，请在一小时内用以下命令取回，链接只能使用一次：",
}
_USED = {
    Locale.EN: "If the link was used already, somebody else has the ciphertext only. Ask with another name.",
    Locale.ZH: "如果链接已被使用，说明别人取走了密文，但无法解密。请换一个名称重试。",
}
_OPEN = {Locale.EN: "Open it with:", Locale.ZH: "用以下命令解密："}


def help_text(message: Message) -> Reply:
    """Say what the bot can do for the one who wrote."""
    text_authenticated, locale = message.text_authenticated, message.locale
    return Reply(
        (_WHAT[locale], Block(_EXAMPLES[text_authenticated][locale]), _SEALED_TO[text_authenticated][locale])
    )


def working(locale: Locale) -> Reply:
    """Say that the work has begun."""
    return Reply((_WORKING[locale],))


def refused(error: KeyPairFunctionError, message: Message) -> Reply:
    """Say what to change, when to try again, or whom to tell."""
    locale = message.locale
    reason = error.reason
    if reason == "command-recipient" and not message.text_authenticated:
        # The public key that is missing would be refused.
        reason = "chat-own-recipients"
    said = _REFUSALS.get(reason) or _REFUSALS.get(error.code)
    if said is None and error.retry_after is not None:
        said = _LATER
    if said is None:
        said = _CHANGE if isinstance(error, RequestRefused) else _BROKEN
    parts: list[str | Block] = [said[locale]]
    if error.code == "unregistered":
        parts.append(
            Block(f'platform = "{message.platform}"\ntenant = "{message.tenant}"\nuser = "{message.user}"')
        )
    if isinstance(error, NotUnderstood):
        parts.append(Block(_EXAMPLES[message.text_authenticated][locale]))
    if isinstance(error, RecipientRefused):
        parts.append(advice(error.problem, locale))
    return Reply(tuple(parts))


def key_pair(issued: IssuedKeyPair, file_name: str, locale: Locale) -> Reply:
    """Give the key pair, envelope and all."""
    sealed = issued.sealed_private_key
    return Reply(
        (
            *_described(issued, locale),
            _SAVE[locale].format(file_name),
            Block(sealed.ciphertext.rstrip("\n")),
            _OPEN[locale],
            Block(sealed.open_with),
        ),
        has_key_pair=True,
    )


def key_pair_with_link(issued: IssuedKeyPair, file_name: str, link: str, locale: Locale) -> Reply:
    """Give the key pair, and the link to its envelope."""
    return Reply(
        (
            *_described(issued, locale),
            _FETCH[locale],
            Block(f"curl -fsS -X POST -o {file_name} {link}"),
            _USED[locale],
            _OPEN[locale],
            Block(issued.sealed_private_key.open_with),
        ),
        has_key_pair=True,
    )


def _described(issued: IssuedKeyPair, locale: Locale) -> tuple[str | Block, ...]:
    values = [
        f"`{issued.key_name}`",
        issued.region,
        issued.key_id,
        issued.fingerprint,
        ", ".join(issued.sealed_private_key.recipients),
    ]
    if issued.expires_at is not None:
        values.append(issued.expires_at)
    lines = [label + value for label, value in zip(_ISSUED[locale], values, strict=False)]
    return ("\n".join(lines), _PUBLIC[locale], Block(issued.public_key))
