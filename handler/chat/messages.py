"""Every text of the bot, in English and Chinese. Each says what to do next and reveals no internals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.chat.command import action_of
from handler.chat.platforms.base import Block, Locale, Reply
from handler.errors import NotUnderstood, OutcomeUnknown, RecipientRefused, RequestRefused
from handler.order import RECIPIENTS_LIMIT, RFC_3339, Action
from handler.pickup.links import LINK_TTL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from handler.chat.platforms.base import Message
    from handler.errors import KeyPairFunctionError
    from handler.issuance.inventory import OwnedKeyPair
    from handler.issuance.issuer import IssuedKeyPair

ROWS_LIMIT = 15
"""Key pairs in a list: as many as fit into a message of every platform."""
WORD_TTL_SECONDS = 120
"""How long the word that confirms a delete is valid."""

_WHAT = {
    Locale.EN: (
        "I create SSH key pairs in Tencent Cloud. You get the private key encrypted to your public key."
    ),
    Locale.ZH: "我会在腾讯云创建 SSH 密钥对，用你的公钥加密私钥后发给你。",
}
# By whether the text is authenticated: without that, `for` and `delete` are refused, so neither is offered.
_EXAMPLES = {
    True: {
        Locale.EN: (
            "/keypair web_1\n/keypair web_1 for age1…\n"
            "/keypair web_1 in ap-guangzhou expires 30d for github:alice\n"
            "/keypair list\n/keypair delete web_1"
        ),
        Locale.ZH: (
            "/keypair web_1\n/keypair web_1 for age1…\n"
            "/keypair web_1 在 ap-guangzhou 有效期 30天 给 github:alice\n"
            "/keypair 列表\n/keypair 删除 web_1"
        ),
    },
    False: {
        Locale.EN: "/keypair web_1\n/keypair web_1 in ap-guangzhou expires 30d\n/keypair list",
        Locale.ZH: "/keypair web_1\n/keypair web_1 在 ap-guangzhou 有效期 30d\n/keypair 列表",
    },
}
_SEALED_TO = {
    True: {
        Locale.EN: (
            "Without `for`, I use your registered keys. After `for`, write one or more age, SSH, PEM or PGP "
            "public keys or JWKs, or place:user. For PuTTY, add `as ppk` before `for`."
        ),
        Locale.ZH: (
            "不写 `for`（给）时，使用为你登记的公钥加密。"
            "`for`（给）后面可以写一个或多个 age、SSH、PEM、PGP 公钥或 JWK，或“平台:用户名”。"
            "使用 PuTTY 时，在 `for`（给）之前加上 `as ppk`（格式 ppk）。"
        ),
    },
    False: {
        Locale.EN: "I use the public keys that are registered for you.",
        Locale.ZH: "使用为你登记的公钥加密。",
    },
}

_WORKING = {
    Locale.EN: "Working on it. Only you will see the answer.",
    Locale.ZH: "正在处理，结果只发给你一个人。",
}

_UNFIT = {
    Locale.EN: "The policy does not match the cloud account. Ask the policy administrator.",
    Locale.ZH: "策略与云账号的设置不一致，请联系策略管理员。",
}
# By reason, otherwise by error code.
_REFUSALS: Mapping[str, Mapping[Locale, str]] = {
    "command-name": {
        Locale.EN: "A key name has 1 to 25 letters, digits or underscores.",
        Locale.ZH: "密钥对名称只能包含字母、数字和下划线，最多 25 个字符。",
    },
    "command-recipient": {
        Locale.EN: "The public key after `for` is missing. Paste one, or leave out `for`.",
        Locale.ZH: "`for`（给）后面缺少公钥。请粘贴公钥，或去掉 `for`（给）。",
    },
    "command-region": {
        Locale.EN: "That is not a region. After `in`, write one such as ap-guangzhou.",
        Locale.ZH: "地域不正确。`in`（在）后面请写地域，例如 ap-guangzhou。",
    },
    "command-expiry": {
        Locale.EN: "That is not a duration. After `expires`, write one such as 90m, 12h or 30d.",
        Locale.ZH: "有效期不正确。`expires`（有效期）后面请写时长，例如 90m、12h 或 30d。",
    },
    "command-format": {
        Locale.EN: "That is not a format. After `as`, write pkcs1, pkcs8, openssh or ppk (for PuTTY).",
        Locale.ZH: "格式不正确。`as`（格式）后面请写 pkcs1、pkcs8、openssh 或 ppk（PuTTY）。",
    },
    "command-many": {
        Locale.EN: f"Too many public keys. Write at most {RECIPIENTS_LIMIT}.",
        Locale.ZH: f"公钥太多，最多 {RECIPIENTS_LIMIT} 个。",
    },
    "command-long": {
        Locale.EN: "The command is too long. Write one public key, or a place such as github:alice.",
        Locale.ZH: "命令太长。请只写一个公钥，或“平台:用户名”，例如 github:alice。",
    },
    "command-twice": {
        Locale.EN: "Part of the command appears twice. Use each part only once, for example:",
        Locale.ZH: "命令中有重复的部分，每个部分只能写一次，例如：",
    },
    "command-word": {
        Locale.EN: "I do not understand the word after the name. Examples:",
        Locale.ZH: "无法识别名称后面的内容。示例：",
    },
    "command-other": {
        Locale.EN: "I did not understand that. You can send these commands:",
        Locale.ZH: "无法识别这条消息。可用的命令：",
    },
    "unregistered": {
        Locale.EN: "You are not registered yet. Send this to the policy administrator:",
        Locale.ZH: "你还没有登记。请把以下内容发给策略管理员：",
    },
    "not-granted": {
        Locale.EN: (
            "The policy does not allow this. Try another name or region, or ask the policy administrator."
        ),
        Locale.ZH: "策略不允许这个请求。请换一个名称或地域，或联系策略管理员。",
    },
    "not-granted-own-recipients": {
        Locale.EN: "You cannot bring your own public key. Leave out `for` to use your registered keys.",
        Locale.ZH: "你不能自带公钥。请去掉 `for`（给），使用为你登记的公钥。",
    },
    "chat-own-recipients": {
        Locale.EN: (
            "You cannot bring a public key on this platform. Leave out `for` to use your registered keys."
        ),
        Locale.ZH: "这个平台不支持自带公钥。请去掉 `for`（给），使用为你登记的公钥。",
    },
    "chat-not-private": {
        Locale.EN: "Other people can read this chat. Send me a direct message.",
        Locale.ZH: "这个会话里还有其他人，请与我单聊。",
    },
    "chat-delete-unauthenticated": {
        Locale.EN: (
            "You cannot delete on this platform, because it does not prove who wrote a message. "
            "Use the command line or ask the policy administrator."
        ),
        Locale.ZH: "这个平台无法证明消息是谁写的，所以不能删除密钥对。请使用命令行，或联系策略管理员。",
    },
    "chat-delete-word": {
        Locale.EN: (
            "That word is wrong, was used already or is older than "
            f"{WORD_TTL_SECONDS // 60} minutes. Leave it out to get a new one."
        ),
        Locale.ZH: (
            f"确认词不正确、已经用过，或已超过 {WORD_TTL_SECONDS // 60} 分钟。"
            "去掉它再发送一次，可以得到新的确认词。"
        ),
    },
    "key-pair-not-found": {
        Locale.EN: "You have no such key pair in that region. Send `/keypair list` to see yours.",
        Locale.ZH: "这个地域没有你的这个密钥对。发送 `/keypair 列表` 可以查看你的密钥对。",
    },
    "key-pair-in-use": {
        Locale.EN: "An instance or an image uses this key pair. Detach it there first.",
        Locale.ZH: "有实例或镜像正在使用这个密钥对，请先解绑。",
    },
    "not-granted-expiry": {
        Locale.EN: "The policy allows only a shorter lifetime. Reduce it after `expires`, or leave it out.",
        Locale.ZH: "有效期超过策略允许的上限。请缩短 `expires`（有效期）后面的时长，或去掉它。",
    },
    "name-taken": {
        Locale.EN: "A key pair with this name already exists. Choose another name.",
        Locale.ZH: "同名的密钥对已存在，请换一个名称。",
    },
    "recipient-refused": {
        Locale.EN: "I cannot use this public key. What to do:",
        Locale.ZH: "无法使用这个公钥。处理方法：",
    },
    "keys-not-found": {
        Locale.EN: "I found no SSH key there that I can encrypt to. Check the place and user after `for`.",
        Locale.ZH: "没有找到可以用于加密的 SSH 公钥。请检查 `for`（给）后面的平台和用户名。",
    },
    "keys-unavailable": {
        Locale.EN: "I could not fetch the public keys. Try again later, or paste a public key.",
        Locale.ZH: "无法获取公钥。请稍后再试，或直接粘贴公钥。",
    },
    "rate-limited": {
        Locale.EN: "Too many requests. Wait a while, then send the command again.",
        Locale.ZH: "请求过于频繁，请稍后再发送命令。",
    },
    "outcome-unknown": {
        Locale.EN: (
            "I cannot tell whether the key pair was created. "
            "Try another name; a leftover key pair is deleted automatically."
        ),
        Locale.ZH: "无法确定密钥对是否已创建。请换一个名称重试，遗留的密钥对会自动删除。",
    },
    "invoke-unknown": {
        Locale.EN: ("Your command may have been lost. If no answer comes within a minute, send it again."),
        Locale.ZH: "命令可能没有送达。如果一分钟内没有结果，请重新发送。",
    },
    "reply-not-delivered": {
        Locale.EN: "The key pair was created, but I could not deliver it. Try another name.",
        Locale.ZH: "密钥对已创建，但没能发给你。请换一个名称重试。",
    },
    "quota-reached": {
        Locale.EN: "The cloud account has reached its key pair limit. Ask its owner to delete some.",
        Locale.ZH: "云账号的密钥对数量已达上限，请联系账号管理员删除一些。",
    },
    "project-not-found": _UNFIT,
    "tags-refused": _UNFIT,
}

_DELETE_UNKNOWN = {
    Locale.EN: "I cannot tell whether the key pair was deleted. Send `/keypair list` to see.",
    Locale.ZH: "无法确定密钥对是否已删除。发送 `/keypair 列表` 可以查看。",
}
_LATER = {
    Locale.EN: "That did not work. Wait a minute, then send the command again.",
    Locale.ZH: "操作失败。请等一分钟，再发送命令。",
}
_BROKEN = {
    Locale.EN: "That did not work. Tell the administrator of this bot.",
    Locale.ZH: "操作失败，请联系机器人管理员。",
}
_CHANGE = {
    Locale.EN: "I cannot do that. Send `/keypair help` for the commands.",
    Locale.ZH: "无法执行。发送 `/keypair help` 可以查看命令。",
}

_ISSUED = {
    Locale.EN: (
        "Here is your key pair: ",
        "Region: ",
        "Key ID: ",
        "Fingerprint: ",
        "Encrypted to: ",
        "Expires: ",
    ),
    Locale.ZH: ("密钥对已创建：", "地域：", "密钥 ID：", "指纹：", "加密所用公钥：", "到期时间："),
}
_SKIPPED = {
    Locale.EN: "Skipped, because I cannot encrypt to them: ",
    Locale.ZH: "已跳过无法用于加密的公钥：",
}
_COMMENT = {
    Locale.EN: (
        "I took the rest of the line after your key as its comment. Write `in`, `expires` and `as` before "
        "`for`, or on a line of their own."
    ),
    Locale.ZH: (
        "公钥后面同一行的文字被当作注释。`in`（在）、`expires`（有效期）和 `as`（格式）"
        "请写在 `for`（给）之前，或另起一行。"
    ),
}
_PUBLIC = {Locale.EN: "Public key:", Locale.ZH: "公钥："}
_SAVE = {
    Locale.EN: "Encrypted private key. Save it as `{}`:",
    Locale.ZH: "加密后的私钥，请保存为 `{}`：",
}
_FETCH = {
    Locale.EN: (
        "The encrypted private key is too long for a message. Download it within "
        f"{LINK_TTL_SECONDS // 60} minutes; the link works once:"
    ),
    Locale.ZH: (
        "加密后的私钥太长，无法直接发送。"
        f"请在 {LINK_TTL_SECONDS // 60} 分钟内用以下命令下载，链接只能使用一次："
    ),
}
_USED = {
    Locale.EN: (
        "If the link was already used, somebody has the ciphertext but cannot read it. Try another name."
    ),
    Locale.ZH: "如果链接已被使用，说明密文被别人下载了，但对方无法解密。请换一个名称重试。",
}
_OPEN = {Locale.EN: "Open it with:", Locale.ZH: "用以下命令解密："}

_LIST = {
    Locale.EN: "Your key pairs in {region}, those that expire first on top:",
    Locale.ZH: "你在 {region} 的密钥对，最早到期的在前：",
}
_EMPTY = {
    Locale.EN: "You have no key pairs in {region}. For another region, send `/keypair list in REGION`.",
    Locale.ZH: "你在 {region} 没有密钥对。要查看其他地域，请发送 `/keypair 列表 在 REGION`。",
}
# As wide as a time, so that the last column is aligned. A Chinese character is as wide as two letters.
_NEVER = {Locale.EN: "never" + 15 * " ", Locale.ZH: "永不过期" + 12 * " "}
_IN_USE = {
    True: {Locale.EN: "in use", Locale.ZH: "使用中"},
    False: {Locale.EN: "unused", Locale.ZH: "未使用"},
}
_MORE = {
    Locale.EN: "And {} more. `keypair list` on the command line shows all.",
    Locale.ZH: "还有 {} 个。命令行 `keypair list` 可以列出全部。",
}
_SOON = {
    Locale.EN: "Expires within seven days: ",
    Locale.ZH: "七天内到期：",
}
_QUESTION = {
    Locale.EN: (
        "Delete `{name}` ({key_id}, {region}, expires: {end})? This cannot be undone, and servers that trust "
        f"its public key still do. If you are sure, send this within {WORD_TTL_SECONDS // 60} minutes:"
    ),
    Locale.ZH: (
        "要删除 `{name}`（{key_id}，{region}，到期：{end}）吗？删除后无法恢复；"
        f"已信任其公钥的服务器仍会信任它。确认请在 {WORD_TTL_SECONDS // 60} 分钟内发送："
    ),
}
_CONFIRMATION = {
    Locale.EN: ("/keypair delete {} {}", " in {}"),
    Locale.ZH: ("/keypair 删除 {} {}", " 在 {}"),
}
_DELETED = {
    Locale.EN: "Deleted `{name}` in {region}. Remove its public key from servers that still have it.",
    Locale.ZH: "已删除 {region} 的 `{name}`。如果服务器上还有它的公钥，请一并移除。",
}


@dataclass(frozen=True)
class Notes:
    """What the answer to a command says about how it was read.

    `skipped_keys` are the types of published keys that cannot be sealed to together with the others.
    """

    skipped_keys: tuple[str, ...] = ()
    comment_reads_like_options: bool = False


def help_text(message: Message) -> Reply:
    """Return what the bot can do for the author of `message`."""
    text_authenticated, locale = message.text_authenticated, message.locale
    return Reply(
        (_WHAT[locale], Block(_EXAMPLES[text_authenticated][locale]), _SEALED_TO[text_authenticated][locale])
    )


def working(locale: Locale) -> Reply:
    """Return the acknowledgement of a command that takes longer."""
    return Reply((_WORKING[locale],))


def refused(error: KeyPairFunctionError, message: Message) -> Reply:
    """Return what to change, when to try again, or whom to ask."""
    locale = message.locale
    reason = error.reason
    if reason == "command-recipient" and not message.text_authenticated:
        # A public key would be refused too, so do not ask for one.
        reason = "chat-own-recipients"
    text = _REFUSALS.get(reason)
    if text is None and isinstance(error, OutcomeUnknown) and action_of(message.text) is Action.DELETE:
        text = _DELETE_UNKNOWN
    text = text or _REFUSALS.get(error.code)
    if text is None and error.retry_after is not None:
        text = _LATER
    if text is None:
        text = _CHANGE if isinstance(error, RequestRefused) else _BROKEN
    parts: list[str | Block] = [text[locale]]
    if error.code == "unregistered":
        parts.append(
            Block(f'platform = "{message.platform}"\ntenant = "{message.tenant}"\nuser = "{message.user}"')
        )
    if isinstance(error, NotUnderstood):
        parts.append(Block(_EXAMPLES[message.text_authenticated][locale]))
    if isinstance(error, RecipientRefused):
        parts.append(error.problem.advice_zh if locale is Locale.ZH else error.problem.advice)
    return Reply(tuple(parts))


def key_pair(issued: IssuedKeyPair, file_name: str, locale: Locale, notes: Notes = Notes()) -> Reply:
    """Return the key pair with its envelope."""
    sealed = issued.sealed_private_key
    return Reply(
        (
            *_described(issued, locale, notes),
            _SAVE[locale].format(file_name),
            Block(sealed.ciphertext.rstrip("\n")),
            _OPEN[locale],
            Block(sealed.open_with),
        ),
        has_key_pair=True,
    )


def key_pair_with_link(
    issued: IssuedKeyPair, file_name: str, link: str, locale: Locale, notes: Notes = Notes()
) -> Reply:
    """Return the key pair with a link to its envelope."""
    return Reply(
        (
            *_described(issued, locale, notes),
            _FETCH[locale],
            Block(f"curl -fsS -X POST -o {file_name} {link}"),
            _USED[locale],
            _OPEN[locale],
            Block(issued.sealed_private_key.open_with),
        ),
        has_key_pair=True,
    )


def key_pair_list(key_pairs: Sequence[OwnedKeyPair], region: str, locale: Locale) -> Reply:
    """Return the author's key pairs in one region: those that end first, as many as fit into a message."""
    if not key_pairs:
        return Reply((_EMPTY[locale].format(region=region),))
    rows = sorted(key_pairs, key=lambda pair: (pair.expires_at is None, pair.expires_at, pair.key_name))
    shown = rows[:ROWS_LIMIT]
    width = max(len(pair.key_name) for pair in shown)
    lines = [
        "  ".join(
            (
                pair.key_name.ljust(width),
                _end(pair.expires_at, locale),
                _IN_USE[bool(pair.instance_ids)][locale],
            )
        )
        for pair in shown
    ]
    parts: list[str | Block] = [_LIST[locale].format(region=region), Block("\n".join(lines))]
    if len(rows) > len(shown):
        parts.append(_MORE[locale].format(len(rows) - len(shown)))
    soon = [f"`{pair.key_name}`" for pair in shown if pair.expires_soon]
    if soon:
        parts.append(_SOON[locale] + ", ".join(soon))
    return Reply(tuple(parts))


def delete_question(pair: OwnedKeyPair, word: str, locale: Locale, *, in_region: bool) -> Reply:
    """Return the question whether to delete a key pair, with the command that does."""
    question = _QUESTION[locale].format(
        name=pair.key_name,
        key_id=pair.key_id,
        region=pair.region,
        end=_end(pair.expires_at, locale).rstrip(),
    )
    command, region = _CONFIRMATION[locale]
    line = command.format(pair.key_name, word) + (region.format(pair.region) if in_region else "")
    return Reply((question, Block(line)))


def deleted(name: str, region: str, locale: Locale) -> Reply:
    """Return that a key pair was deleted."""
    return Reply((_DELETED[locale].format(name=name, region=region),))


def _end(expires_at: datetime | None, locale: Locale) -> str:
    return _NEVER[locale] if expires_at is None else expires_at.strftime(RFC_3339)


def _noted(notes: Notes, locale: Locale) -> list[str]:
    noted = []
    if notes.skipped_keys:
        noted.append(_SKIPPED[locale] + ", ".join(notes.skipped_keys))
    if notes.comment_reads_like_options:
        noted.append(_COMMENT[locale])
    return noted


def _described(issued: IssuedKeyPair, locale: Locale, notes: Notes) -> tuple[str | Block, ...]:
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
    return ("\n".join(lines), *_noted(notes, locale), _PUBLIC[locale], Block(issued.public_key))
