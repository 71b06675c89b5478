"""`scripts/bench` measures what was asked for, or says that it does not."""

from __future__ import annotations

import pytest

from scripts.benchmark.__main__ import main


@pytest.mark.parametrize("option", ["--growth", "--json=out.json", "--rounds=2", "--against=HEAD"])
def test_options_for_packages_need_starts(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("error: these options need --starts\n")
