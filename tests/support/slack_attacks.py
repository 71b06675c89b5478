"""What somebody else may send to the place of Slack's commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.support.slack_stand_in import TEAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.slack_stand_in import Slack

OTHER_SECRET = "8f742231b10e8888abcd99yyyzzz85a6"


@dataclass(frozen=True)
class Attack:
    name: str
    event: Callable[[Slack], dict[str, Any]]
    status: int
    reason: str


def changed(**fields: str | None) -> Callable[[Slack], dict[str, Any]]:
    """Sign a command with other fields; None takes one away."""

    def event(slack: Slack) -> dict[str, Any]:
        all_fields: dict[str, str | None] = {**slack.fields("web_1"), **fields}
        return slack.event(urlencode({name: v for name, v in all_fields.items() if v is not None}))

    return event


def headed(**headers: str | None) -> Callable[[Slack], dict[str, Any]]:
    """Set headers after signing; None takes one away."""

    def event(slack: Slack) -> dict[str, Any]:
        signed = slack.event(urlencode(slack.fields("web_1")))
        sent = {**signed["headers"], **{name.replace("_", "-"): value for name, value in headers.items()}}
        return {**signed, "headers": {name: value for name, value in sent.items() if value is not None}}

    return event


def at(offset: int) -> Callable[[Slack], dict[str, Any]]:
    """Sign for another time."""
    return lambda slack: slack.event(
        urlencode(slack.fields("web_1")), timestamp=str(int(slack.chat.function.clock.time) + offset)
    )


def signed(body: Callable[[str], str], **headers: str) -> Callable[[Slack], dict[str, Any]]:
    """Sign what becomes of a good body."""
    return lambda slack: slack.event(body(urlencode(slack.fields("web_1"))), **headers)


def afterwards(**parts: object) -> Callable[[Slack], dict[str, Any]]:
    """Change the event of a signed command."""
    return lambda slack: {**slack.command("web_1"), **parts}


def other_body(slack: Slack) -> dict[str, Any]:
    event = slack.command("web_1")
    return {**event, "body": event["body"].replace("text=web_1", "text=web_2")}


def captured_headers(slack: Slack) -> dict[str, Any]:
    """Put the headers of one command on another."""
    return {**slack.command("web_2"), "headers": slack.command("web_1")["headers"]}


def by_another(slack: Slack) -> dict[str, Any]:
    return slack.event(urlencode(slack.fields("web_1")), secret=OTHER_SECRET)


def forged_url(url: str) -> Attack:
    return Attack(f"response_url {url}", changed(response_url=url), 400, "slack-fields")


V0 = "v0=" + "0" * 64
ATTACKS = [
    Attack("too old", at(-301), 401, "slack-time"),
    Attack("of the future", at(301), 401, "slack-time"),
    Attack("of 1970", headed(x_slack_request_timestamp="0"), 401, "slack-time"),
    Attack("no timestamp", headed(x_slack_request_timestamp=None), 401, "slack-timestamp"),
    Attack("timestamp no number", headed(x_slack_request_timestamp="soon"), 401, "slack-timestamp"),
    Attack("timestamp negative", headed(x_slack_request_timestamp="-1"), 401, "slack-timestamp"),
    Attack(
        "timestamp with a fraction", headed(x_slack_request_timestamp="1795521600.0"), 401, "slack-timestamp"
    ),
    Attack(
        "timestamp in other digits",
        headed(x_slack_request_timestamp="\uff11" * 10),
        401,
        "slack-timestamp",
    ),
    Attack("timestamp endless", headed(x_slack_request_timestamp="1" * 5000), 401, "slack-timestamp"),
    Attack(
        "timestamp of the next second", headed(x_slack_request_timestamp="1795521601"), 401, "slack-signature"
    ),
    Attack("no signature", headed(x_slack_signature=None), 401, "slack-signature"),
    Attack("empty signature", headed(x_slack_signature=""), 401, "slack-signature"),
    Attack("made-up signature", headed(x_slack_signature=V0), 401, "slack-signature"),
    Attack("signature of no ASCII", headed(x_slack_signature="v0=ß"), 401, "slack-signature"),
    Attack("signature of another version", headed(x_slack_signature="v1" + V0[2:]), 401, "slack-signature"),
    Attack("under another secret", by_another, 401, "slack-signature"),
    Attack("other body", other_body, 401, "slack-signature"),
    Attack("no body", afterwards(body=""), 401, "slack-signature"),
    Attack("captured headers on another command", captured_headers, 401, "slack-signature"),
    Attack("other team", changed(team_id="T9OTHER"), 200, "unregistered"),
    Attack("other user", changed(user_id="U9OTHER"), 200, "unregistered"),
    Attack("team and user exchanged", changed(team_id="U2CERLKJA", user_id=TEAM), 200, "unregistered"),
    Attack("team in small letters", changed(team_id=TEAM.lower()), 400, "slack-fields"),
    Attack("team with a line end", changed(team_id=TEAM + "\n"), 400, "slack-fields"),
    Attack("no team", changed(team_id=None), 400, "slack-fields"),
    Attack("no user", changed(user_id=None), 400, "slack-fields"),
    Attack("no trigger", changed(trigger_id=None), 400, "slack-fields"),
    Attack("no text", changed(text=None), 400, "slack-fields"),
    Attack("no response_url", changed(response_url=None), 400, "slack-fields"),
    *(
        forged_url(url)
        for url in (
            "",
            "http://hooks.slack.com/commands/T1/1/x",
            "https://hooks.slack.com.evil.example/commands/T1/1/x",
            "https://hooks.slack.com@evil.example/commands/T1/1/x",
            "https://evil.example/https://hooks.slack.com/commands/T1/1/x",
            "https://hooks.slack.com:8443/commands/T1/1/x",
            "https://HOOKS.slack.com/commands/T1/1/x",
            "https://hooks.slack.com//evil.example/x",
            "https://hooks.slack.com/commands/../../x",
            "https://hooks.slack.com/commands/T1?to=evil",
            "https://hooks.slack.com/commands/T1#x",
            "https://hooks.slack.com/commands/T1\r\nHost: evil.example",
            "https://hooks.slack.com/" + "x" * 600,
            "https://169.254.0.23/latest/meta-data",
        )
    ),
    Attack(
        "JSON",
        signed(lambda _: '{"text":"web_1"}', content_type="application/json"),
        400,
        "slack-content-type",
    ),
    Attack("no content type", headed(content_type=None), 400, "slack-content-type"),
    Attack("multipart", headed(content_type="multipart/form-data; boundary=x"), 400, "slack-content-type"),
    Attack("no form", signed(lambda _: "hello"), 400, "slack-form"),
    Attack("a form that is not UTF-8", signed(lambda body: body + "&x=%FF%FE"), 400, "slack-form"),
    Attack("many fields", signed(lambda body: body + "&x=1" * 100), 400, "slack-form"),
    Attack("a field twice", signed(lambda body: body + "&text=web_2"), 400, "slack-field-twice"),
    Attack("a user twice", signed(lambda body: body + "&user_id=U2PINNED"), 400, "slack-field-twice"),
    Attack("an endless text", changed(text="web_1 " * 4000), 200, "command-long"),
    Attack("control characters", changed(text="web_1\x00"), 200, "command-name"),
]
