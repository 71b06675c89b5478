"""`scripts/deploy apply` against the stand-in: the first time, again, and after every interruption."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from scripts.deployment.cloud import Identity, TencentCloud
from scripts.deployment.package import POLICY
from scripts.packaging.archive import with_entries
from tests.deployment.conftest import READING, STUB, CloudStandIn, changes, write_stub
from tests.support.function_process import clean_environment

if TYPE_CHECKING:
    from tests.deployment.conftest import Deployer

SLACK = "8f742231b10e8888abcd99yyyzzz85a5"
IN_A_BUCKET = ("--bucket", "code", "--yes")


def settled(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state without what differs from run to run: addresses, and the numbers of versions."""
    function = next(iter(state["functions"].values()))
    configuration = dict(function["configuration"])
    variables = {one["Key"] for one in configuration.pop("Environment")["Variables"]}
    (latest,) = {function["aliases"]["$DEFAULT"]}
    return {
        **{name: state[name] for name in ("roles", "policies", "attached", "topics", "buckets")},
        "configuration": {k: v for k, v in configuration.items() if not k.startswith("Cls")},
        "variables": sorted(variables),
        "triggers": sorted(function["triggers"]),
        "versions": function["versions"],
        "newest version is live": latest == function["versions"][-1],
        "reserved": function["reserved"],
        "asyncRetry": function["asyncRetry"],
    }


def test_one_run_leads_from_an_empty_account_to_a_url(deployer: Deployer, cloud: CloudStandIn) -> None:
    assert deployer.apply() == 0, deployer.error
    assert "The function answers at http://127.0.0.1:" in deployer.out
    state, function = cloud.state, cloud.function
    assert state["roles"] == ["keypair-function-scf"]
    assert state["attached"] == 1
    policy = json.loads(state["policies"]["keypair-function-prod-cvm"])
    # The example policy grants key pairs in two regions.
    assert policy["statement"][0]["resource"] == [
        f"qcs::cvm:{region}:uin/100000000001:keypair/*" for region in ("ap-guangzhou", "ap-shanghai")
    ]
    assert state["topics"] == ["keypair-function-prod"]
    assert sorted(function["triggers"]) == ["sweep", "url"]
    assert function["aliases"] == {"$DEFAULT": "1"}
    assert function["reserved"] == 1280
    assert function["asyncRetry"] == {"RetryConfig": [{"RetryNum": 2}], "MsgTTL": 1800}
    assert function["configuration"]["Tags"] == [{"Key": "app", "Value": "keypair-function"}]


def test_a_second_run_changes_nothing(deployer: Deployer, cloud: CloudStandIn) -> None:
    assert deployer.apply() == 0, deployer.error
    before = len(cloud.calls)
    assert deployer.apply() == 0, deployer.error
    assert changes(cloud.calls[before:]) == []
    assert deployer.plan() == [
        {
            "service": "function",
            "action": "requests",
            "parameters": {"GET": "<url>/healthz", "POST": "<url>/v1/key-pairs without a signature"},
        }
    ]


def matches(planned: object, called: object) -> bool:
    """Compare a plan's parameters with those of a call: a placeholder in the plan stands for anything."""
    if isinstance(planned, str) and (planned == "***" or planned.startswith("<")):
        return True
    if isinstance(planned, dict):
        return isinstance(called, dict) and all(
            name in called and matches(value, called[name])
            for name, value in planned.items()
            if name != "Content"
        )
    if isinstance(planned, list):
        # The variables: KEYPAIR_HOSTS of the plan may be in pieces.
        return isinstance(called, list) and all(
            any(matches(one, other) for other in called) for one in planned
        )
    return planned == called


@pytest.mark.parametrize("through_a_bucket", [False, True])
@pytest.mark.parametrize("deployed", ["nothing", "an older version"])
def test_a_plan_is_what_apply_calls(
    deployer: Deployer, cloud: CloudStandIn, deployed: str, *, through_a_bucket: bool
) -> None:
    arguments = IN_A_BUCKET if through_a_bucket else ()
    if deployed == "an older version":
        assert deployer.apply(*arguments) == 0, deployer.error
        write_stub(deployer.package, STUB + "# changed\n")
    planned = [call for call in deployer.plan(*arguments) if call["service"] != "function"]
    read_by_plan = len(cloud.calls)
    assert deployer.apply(*arguments) == 0, deployer.error
    called = cloud.calls[read_by_plan:]
    # What apply reads before it begins is what the plan has read; the steps come after that.
    first_step = next(n for n, call in enumerate(called) if not call["action"].startswith(READING))
    made: list[dict[str, Any]] = []
    for call in called[first_step:]:
        polls_again = made and call["action"] == "GetFunction" == made[-1]["action"]
        if not polls_again:
            made.append(call)
    assert [(c["service"], c["action"]) for c in planned] == [(c["service"], c["action"]) for c in made]
    for plan, call in zip(planned, made, strict=True):
        assert matches(plan["parameters"], call["parameters"]), (plan, call)
        assert set(plan["parameters"]) - {"Content"} == set(call["parameters"]), plan
    secret = deployer.environment["KEYPAIR_MASTER_SECRET"]
    assert secret not in json.dumps(planned)


def test_reads_of_plan_and_apply_are_the_same(deployer: Deployer, cloud: CloudStandIn) -> None:
    deployer.plan()
    reads = cloud.calls
    assert changes(reads) == []
    assert deployer.apply() == 0, deployer.error
    assert cloud.calls[len(reads) : 2 * len(reads)] == reads


@pytest.mark.parametrize("deployed", ["nothing", "an older version"])
def test_an_apply_that_is_interrupted_after_each_of_its_calls_goes_on(
    deployer: Deployer, cloud: CloudStandIn, deployed: str
) -> None:
    """The connection breaks once a call was executed; the same command is run again until it ends."""

    def prepare() -> int:
        write_stub(deployer.package)
        if deployed == "an older version":
            assert deployer.apply(*IN_A_BUCKET) == 0, deployer.error
            write_stub(deployer.package, STUB + "# changed\n")
        return len(cloud.calls)

    before = prepare()
    assert deployer.apply(*IN_A_BUCKET) == 0, deployer.error
    undisturbed, made = settled(cloud.state), changes(cloud.calls[before:])
    cloud.control("reset")

    prepare()
    interruptions: list[str] = []
    while True:
        # Nothing tells that code arrived before the description names it, so it is sent once more.
        spared = "UpdateFunctionCode" if "UpdateFunctionCode" in interruptions else ""
        cloud.control("set", hang_up_after_change=True, spared=spared)
        if deployer.apply(*IN_A_BUCKET) == 0:
            break
        assert "No answer arrived, so the call may have been executed." in deployer.error
        assert "Run the same command again" in deployer.error
        interruptions.append(changes(cloud.calls)[-1][1])
        assert len(interruptions) <= len(made), interruptions
    # One interruption for each call: none is left out.
    assert sorted(interruptions) == sorted(action for _, action in made)
    assert settled(cloud.state) == undisturbed


def test_an_apply_that_is_killed_goes_on(deployer: Deployer, cloud: CloudStandIn) -> None:
    cloud.control("set", pause_at="scf CreateFunction")
    arguments = ["apply", "--with-role", "--endpoint", cloud.url, "--package", str(deployer.package)]
    files = [
        "--file",
        str(deployer.folder / "serverless.yml"),
        "--policy",
        str(deployer.folder / "policy.toml"),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "scripts.deployment", *arguments, *files],
        env=clean_environment(deployer.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert cloud.control("paused") == {"paused": True}
        process.kill()
    assert changes(cloud.calls)[-1] == ("scf", "CreateFunction")
    assert deployer.apply() == 0, deployer.error
    assert changes(cloud.calls).count(("scf", "CreateFunction")) == 1


def test_code_too_large_for_a_call_goes_through_a_bucket_that_is_asked_for(
    deployer: Deployer, cloud: CloudStandIn
) -> None:
    large = os.urandom(8 * 1024 * 1024)
    deployer.package.write_bytes(with_entries(deployer.package.read_bytes(), {"large.bin": large}))
    assert deployer.apply() == 1
    assert deployer.questions == [
        "The code is too large for a call of the API. Make the bucket keypair-function-1250000000 for it?"
    ]
    assert "Nothing was changed" in deployer.error
    assert changes(cloud.calls) == []

    deployer.answers = [True]
    assert deployer.apply() == 0, deployer.error
    assert cloud.state["buckets"] == {"keypair-function-1250000000": []}
    assert "  8.4 MB sent" in deployer.out

    write_stub(deployer.package, STUB + "# changed\n")
    deployer.package.write_bytes(with_entries(deployer.package.read_bytes(), {"large.bin": large}))
    assert deployer.apply("--keep-object") == 0, deployer.error
    assert len(cloud.state["buckets"]["keypair-function-1250000000"]) == 1


def test_a_setting_that_changed_leads_to_a_new_version_with_the_same_code(
    deployer: Deployer, cloud: CloudStandIn
) -> None:
    deployer.environment["KEYPAIR_STORE"] = "rediss://10.0.0.2"
    assert deployer.apply() == 0, deployer.error
    before = len(cloud.calls)
    assert deployer.apply(KEYPAIR_SLACK_SIGNING_SECRET=SLACK) == 0
    assert [action for _, action in changes(cloud.calls[before:])] == [
        "CreatePolicy",
        "AttachRolePolicy",
        "UpdateFunctionConfiguration",
        "PublishVersion",
        "UpdateAlias",
    ]
    # A bot invokes its own function again, so the role got that right as well.
    assert "keypair-function-prod-invoke" in cloud.state["policies"]


CRON = '"0 */10 * * * * *"'


@pytest.mark.parametrize(
    ("before", "after", "call"),
    [
        (f"cronExpression: {CRON}", 'cronExpression: "0 0 3 * * * *"', "UpdateTrigger"),
        (f"cronExpression: {CRON}", 'cronExpression: "0 */1 * * * * *"', "UpdateTrigger"),
        (f"cronExpression: {CRON}", f"cronExpression: {CRON}\n          argument: now", "UpdateTrigger"),
        ("          enable: true\n\n", "          enable: false\n\n", "UpdateTrigger"),
        ("          name: sweep\n", "          name: other\n", "CreateTrigger, DeleteTrigger"),
    ],
)
def test_a_timer_that_changed_in_the_file_changes_there(
    before: str, after: str, call: str, deployer: Deployer, cloud: CloudStandIn
) -> None:
    # One expression is a part of the other.
    file = deployer.folder / "serverless.yml"
    text = file.read_text("utf-8")
    assert text.count(before) == 1
    assert deployer.apply() == 0, deployer.error
    file.write_text(text.replace(before, after), "utf-8")
    for expected in (call.split(", "), []):
        calls = len(cloud.calls)
        assert deployer.apply("--yes") == 0, deployer.error
        assert [action for _, action in changes(cloud.calls[calls:])] == expected


def test_a_timer_that_is_gone_from_the_file_is_removed(deployer: Deployer, cloud: CloudStandIn) -> None:
    """A timer that cleans up wrongly has to be stopped, and stays stopped."""
    assert deployer.apply() == 0, deployer.error
    file = deployer.folder / "serverless.yml"
    head, timer, rest = file.read_text("utf-8").partition("    - timer:")
    file.write_text(head + "\ndeployment:" + rest.partition("\ndeployment:")[2], "utf-8")
    assert timer
    calls = len(changes(cloud.calls))
    assert deployer.apply() == 1
    assert "This would remove the timer sweep" in deployer.error
    assert len(changes(cloud.calls)) == calls
    assert deployer.apply("--yes") == 0, deployer.error
    assert cloud.function["triggers"] == ["url"]


def test_a_timer_of_another_version_is_somebody_elses(deployer: Deployer, cloud: CloudStandIn) -> None:
    assert deployer.apply() == 0, deployer.error
    caller = TencentCloud(Identity.of(deployer.environment), "ap-guangzhou", cloud.url)
    function = {"FunctionName": "keypair-function-prod", "Namespace": "default"}
    timer = {"Type": "timer", "TriggerDesc": "0 0 3 * * * *", "Enable": "OPEN", "Qualifier": "1"}
    caller.call("scf", "CreateTrigger", {**function, **timer, "TriggerName": "report"})
    calls = len(cloud.calls)
    assert deployer.apply("--yes") == 0, deployer.error
    assert changes(cloud.calls[calls:]) == []


def test_another_handler_is_deployed(deployer: Deployer, cloud: CloudStandIn) -> None:
    assert deployer.apply() == 0, deployer.error
    file = deployer.folder / "serverless.yml"
    file.write_text(file.read_text("utf-8").replace("index.main_handler", "index.other_handler"), "utf-8")
    deployer.apply()
    assert cloud.function["configuration"]["Handler"] == "index.other_handler"


def test_a_master_secret_is_not_replaced_without_a_word(deployer: Deployer, cloud: CloudStandIn) -> None:
    """Every caller would be locked out, and the key pairs made so far would be nobody's."""
    assert deployer.apply() == 0, deployer.error
    other = "B" * 43
    calls = len(changes(cloud.calls))
    assert deployer.apply(KEYPAIR_MASTER_SECRET=other) == 2
    assert "To replace the secret: scripts/deploy secrets rotate." in deployer.error
    assert other not in deployer.error
    assert len(changes(cloud.calls)) == calls
    old = deployer.environment["KEYPAIR_MASTER_SECRET"]
    assert deployer.apply(KEYPAIR_MASTER_SECRET=other, KEYPAIR_RETIRED_MASTER_SECRETS=old) == 0
    # Nor one that was retired.
    assert deployer.apply(KEYPAIR_MASTER_SECRET=other, KEYPAIR_RETIRED_MASTER_SECRETS="C" * 43) == 2
    assert deployer.apply(KEYPAIR_MASTER_SECRET=other) == 0, deployer.error


def test_what_may_be_used_once_needs_a_store_that_is_shared(deployer: Deployer, cloud: CloudStandIn) -> None:
    needs = "needs a store that all instances share, redis:// or rediss://\n"
    for store in ("memory:", "sqlite:/tmp/store"):
        assert deployer.apply(KEYPAIR_SLACK_SIGNING_SECRET=SLACK, KEYPAIR_STORE=store) == 2
        assert deployer.error == f"scripts/deploy: KEYPAIR_STORE: chat {needs}"
    assert deployer.apply() == 0, deployer.error
    grant = {"names": ["*"], "regions": ["ap-guangzhou"], "own_recipients": True}
    policy = json.dumps({"callers": {"old": {"v2": ["HmacSHA256"], "grants": [grant]}}})
    (deployer.folder / "policy.json").write_text(policy)
    assert deployer.run("policy", "--policy", str(deployer.folder / "policy.json")) == 2
    assert deployer.error == f"scripts/deploy: KEYPAIR_STORE: callers.old.v2 {needs}"
    packed = {POLICY: policy.encode()}
    deployer.package.write_bytes(with_entries(deployer.package.read_bytes(), packed))
    before = len(changes(cloud.calls))
    assert deployer.apply() == 2
    assert deployer.error == f"scripts/deploy: KEYPAIR_STORE: callers.old.v2 {needs}"
    assert len(changes(cloud.calls)) == before
    assert deployer.apply(KEYPAIR_STORE="rediss://10.0.0.2") == 0, deployer.error


def test_old_versions_are_deleted_and_the_one_to_roll_back_to_is_kept(
    deployer: Deployer, cloud: CloudStandIn
) -> None:
    text = (
        (deployer.folder / "serverless.yml").read_text("utf-8").replace("keepVersions: 10", "keepVersions: 2")
    )
    (deployer.folder / "serverless.yml").write_text(text, "utf-8")
    for number in range(4):
        write_stub(deployer.package, STUB + f"# {number}\n")
        assert deployer.apply() == 0, deployer.error
    assert cloud.function["versions"] == ["3", "4"]


def test_what_is_wrong_is_said_at_once(deployer: Deployer, cloud: CloudStandIn) -> None:
    (deployer.folder / "policy.toml").unlink()
    for name in ("TENCENTCLOUD_SECRET_ID", "KEYPAIR_STORE", "KEYPAIR_MASTER_SECRET"):
        del deployer.environment[name]
    assert deployer.apply() == 2
    said = deployer.error
    for words in (
        "TENCENTCLOUD_SECRET_ID and",
        "KEYPAIR_STORE is not",
        "KEYPAIR_MASTER_SECRET is not",
        "no policy",
    ):
        assert words in said
    assert cloud.calls == []


def test_malformed_settings_are_said_at_once_and_not_shown(deployer: Deployer) -> None:
    assert deployer.apply(KEYPAIR_STORE="redis:nowhere", KEYPAIR_MASTER_SECRET="too short") == 2
    assert "KEYPAIR_STORE is malformed" in deployer.error
    assert "KEYPAIR_MASTER_SECRET is malformed" in deployer.error
    assert "nowhere" not in deployer.error
    assert "too short" not in deployer.error


def test_a_trigger_of_another_version_is_not_taken_for_the_functions(
    deployer: Deployer, cloud: CloudStandIn
) -> None:
    assert deployer.apply() == 0, deployer.error
    file = deployer.folder / "serverless.yml"
    text = file.read_text("utf-8")
    assert text.count("qualifier: $DEFAULT") == 2  # of the URL, and of the timer
    file.write_text(text.replace("qualifier: $DEFAULT", "qualifier: '1'", 1), "utf-8")
    before = len(cloud.calls)
    assert deployer.apply() == 1
    assert "The trigger url leads to $DEFAULT instead of 1." in deployer.error
    assert changes(cloud.calls[before:]) == []


def test_a_misspelt_setting_is_not_ignored(deployer: Deployer, cloud: CloudStandIn) -> None:
    misspelt = {"KEYPAIR_SLACK_SIGNING_SECERT": SLACK, "KEYPAIR_HOST": "keys.example.com"}
    assert deployer.apply(**misspelt) == 2
    assert deployer.error == "".join(
        f"scripts/deploy: {name} is set, but serverless.yml does not name it; correct it, or name it there\n"
        for name in ("KEYPAIR_HOST", "KEYPAIR_SLACK_SIGNING_SECERT")
    )
    assert cloud.calls == []
    # Settings that other commands read from the same .env are none of its business.
    assert deployer.apply(KEYPAIR_POLICY="/srv/policy.json", KEYPAIR_HOST="") == 0, deployer.error


def test_a_mistake_in_the_file_is_said_with_its_line(deployer: Deployer) -> None:
    file = deployer.folder / "serverless.yml"
    file.write_text(file.read_text("utf-8").replace("memorySize: 128", "memorySize: 100"), "utf-8")
    assert deployer.apply() == 1
    line = next(
        n for n, text in enumerate(file.read_text("utf-8").splitlines(), 1) if text.startswith("  memorySize")
    )
    assert f"serverless.yml:{line}: inputs.memorySize: " in deployer.error


def test_the_runtime_of_a_function_is_not_changed(deployer: Deployer) -> None:
    assert deployer.apply() == 0
    file = deployer.folder / "serverless.yml"
    file.write_text(file.read_text("utf-8").replace("Python3.10", "Python3.11"), "utf-8")
    assert deployer.apply() == 1
    assert "SCF cannot change that" in deployer.error


def test_a_right_that_is_missing_is_named_with_what_exists(deployer: Deployer, cloud: CloudStandIn) -> None:
    cloud.control("set", denied=["scf PublishVersion"])
    assert deployer.apply() == 1
    assert "No right to scf:PublishVersion" in deployer.error
    assert "Done before that: make the role keypair-function-scf; " in deployer.error
    cloud.control("set", denied=[])
    assert deployer.apply() == 0, deployer.error


def test_a_function_that_takes_anybody_is_not_called_deployed(deployer: Deployer) -> None:
    write_stub(deployer.package, STUB.replace("401", "201"))
    assert deployer.apply() == 1
    assert "should be refused with 401, but the answer is 201" in deployer.error
    assert "destroy --url-only" in deployer.error


def test_a_function_that_does_not_answer_is_not_called_deployed(deployer: Deployer) -> None:
    write_stub(deployer.package, "raise RuntimeError")
    assert deployer.apply() == 1
    assert "/healthz should answer 200, but the answer is 500" in deployer.error
    assert "scripts/deploy rollback" in deployer.error


def test_a_master_secret_is_made_on_request_and_kept_afterwards(
    deployer: Deployer, cloud: CloudStandIn
) -> None:
    del deployer.environment["KEYPAIR_MASTER_SECRET"]
    assert deployer.apply() == 2
    assert "--new-master-secret" in deployer.error
    assert deployer.apply("--new-master-secret", "--print") == 0, deployer.error
    assert deployer.out.count("KEYPAIR_MASTER_SECRET=") == 1
    before = len(cloud.calls)
    assert deployer.apply("--new-master-secret", "--print") == 0, deployer.error
    assert "KEYPAIR_MASTER_SECRET=" not in deployer.out
    assert changes(cloud.calls[before:]) == []


def test_every_value_obeys_the_pattern_that_scf_documents(deployer: Deployer, cloud: CloudStandIn) -> None:
    """The stand-in enforces it; without the pattern the same values are sent."""
    assert (
        deployer.apply(
            KEYPAIR_STORE="rediss://:p-w@10.0.0.2:6379/0", KEYPAIR_HOSTS="key-pairs.internal.example.com"
        )
        == 0
    )
    variables = {one["Key"] for one in cloud.function["configuration"]["Environment"]["Variables"]}
    # The store holds a password and travels as a variable; the region does not, and travels in the package.
    assert {"KEYPAIR_STORE", "KEYPAIR_HOSTS", "KEYPAIR_HOSTS_2", "KEYPAIR_MASTER_SECRET"} <= variables
    assert "KEYPAIR_REGION" not in variables


def test_a_region_that_cannot_be_one_is_found_before_any_call(
    deployer: Deployer, cloud: CloudStandIn
) -> None:
    deployer.environment["KEYPAIR_REGION"] = "guangzhou"
    assert deployer.apply() == 1
    assert "inputs.region: Value error, must be a region, for example ap-guangzhou" in deployer.error
    assert cloud.calls == []


def test_a_cloud_out_of_reach_is_told_in_plain_words(deployer: Deployer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening: whoever connects is refused
        deployer.cloud = CloudStandIn({"url": f"http://127.0.0.1:{taken.getsockname()[1]}"})
        assert deployer.apply() == 1
    assert deployer.error == (
        "scripts/deploy: cam GetUserAppId failed: no answer: the connection was refused. "
        "Check this machine's network and proxy, and that the region ap-guangzhou exists.\n"
    )
