"""`scripts/deploy`, with an `scf` that only writes down how it was called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "KEYPAIR_REGION": "ap-guangzhou",
    "KEYPAIR_HOSTS": "keys.example.com",
    "KEYPAIR_MASTER_SECRET": "00" * 32,
    "KEYPAIR_STORE": "memory:",
}


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project whose build takes no time, with an `scf` in its folder bin."""
    shutil.copy(ROOT / "serverless.yml", tmp_path)
    executable(tmp_path / "scripts" / "deploy", (ROOT / "scripts" / "deploy").read_text("utf-8"))
    executable(tmp_path / "scripts" / "python", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    build = (
        "import zipfile, sys; zipfile.ZipFile('dist/keypair-function.zip', 'w').writestr('index.py', 'new')"
    )
    executable(
        tmp_path / "scripts" / "build",
        f'#!/bin/sh\necho "build $*" >>calls\nmkdir -p dist\nexec {sys.executable} -c "{build}"\n',
    )
    install_scf(tmp_path, "1.3.0")
    (tmp_path / "policy.toml").touch()
    return tmp_path


def install_scf(project: Path, version: str) -> None:
    executable(
        project / "bin" / "scf",
        f'#!/bin/sh\n[ "$1" = version ] && echo "serverless - tencent version: {version}(npm)" && exit\n'
        'echo "scf $*" >>calls\n',
    )


def deploy(project: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYPAIR_")}
    # Called from elsewhere: the script finds its project itself.
    return subprocess.run(
        [project / "scripts" / "deploy", *arguments],
        cwd=project.parent,
        env=environment | {"PATH": f"{project / 'bin'}:/usr/bin:/bin"} | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def assert_refused(project: Path, done: subprocess.CompletedProcess[str], *reasons: str) -> None:
    assert (done.returncode, done.stderr.splitlines()) == (2, [f"scripts/deploy: {r}" for r in reasons])
    assert not (project / "calls").exists()


def test_it_builds_unpacks_and_deploys(project: Path) -> None:
    stale = project / "dist" / "function" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    done = deploy(project, "--debug", **SETTINGS)
    assert done.returncode == 0, done.stderr
    assert (project / "calls").read_text() == "build --policy policy.toml\nscf deploy --debug\n"
    # The folder that serverless.yml names, with the new build alone in it.
    assert [(p.name, p.read_text()) for p in (project / "dist" / "function").iterdir()] == [
        ("index.py", "new")
    ]


def test_settings_may_stand_in_the_env_file(project: Path) -> None:
    lines = [f"{name}={value}\n" for name, value in SETTINGS.items()]
    (project / ".env").write_text("".join(lines), "utf-8")
    assert deploy(project).returncode == 0


def test_everything_that_is_missing_is_named_at_once(project: Path) -> None:
    (project / "bin" / "scf").unlink()
    (project / "policy.toml").unlink()
    assert_refused(
        project,
        deploy(project, KEYPAIR_REGION="ap-guangzhou"),
        "'scf' is not installed. Get it with: npm install --global serverless-cloud-framework",
        "There is no policy.toml. Start from policy.example.toml.",
        *(
            f"{name} is not set, neither in the environment nor in .env"
            for name in ("KEYPAIR_HOSTS", "KEYPAIR_MASTER_SECRET", "KEYPAIR_STORE")
        ),
    )


@pytest.mark.parametrize("version", ["1.1.9", "0.9.0"])
def test_an_scf_that_knows_no_function_url_is_refused(project: Path, version: str) -> None:
    install_scf(project, version)
    assert_refused(
        project, deploy(project, **SETTINGS), f"'scf' is version {version}; needed is 1.2.0 or newer"
    )


@pytest.mark.parametrize("version", ["1.2.0", "1.10.0", "2.0.0"])
def test_a_newer_scf_will_do(project: Path, version: str) -> None:
    install_scf(project, version)
    assert deploy(project, **SETTINGS).returncode == 0


def test_an_scf_that_tells_no_version_is_refused(project: Path) -> None:
    install_scf(project, "unknown")
    assert_refused(project, deploy(project, **SETTINGS), "'scf' is version unknown; needed is 1.2.0 or newer")


@pytest.mark.parametrize("value", ["redis://h/0?a=b", "a;b"])
def test_values_that_scf_would_break_are_refused_and_not_shown(project: Path, value: str) -> None:
    done = deploy(project, **SETTINGS | {"KEYPAIR_STORE": value})
    assert_refused(
        project, done, "KEYPAIR_STORE has a ';' or a '=' in its value, which SCF does not carry over"
    )
    assert value not in done.stderr


def test_values_of_optional_settings_are_looked_at_too(project: Path) -> None:
    (project / ".env").write_text("KEYPAIR_SLACK_SIGNING_SECRET=a;b\n", "utf-8")
    assert_refused(
        project,
        deploy(project, **SETTINGS, KEYPAIR_DINGTALK_APP_SECRET="a=b"),
        *(
            f"{name} has a ';' or a '=' in its value, which SCF does not carry over"
            for name in ("KEYPAIR_DINGTALK_APP_SECRET", "KEYPAIR_SLACK_SIGNING_SECRET")
        ),
    )


def test_a_failed_build_deploys_nothing(project: Path) -> None:
    executable(project / "scripts" / "build", "#!/bin/sh\nexit 1\n")
    assert deploy(project, **SETTINGS).returncode == 1
    assert not (project / "calls").exists()
