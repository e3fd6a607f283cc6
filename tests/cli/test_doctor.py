"""`specdec doctor`: what it finds on this machine, and on machines that something is wrong with."""

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from specdec import hookimpl
from specdec.cli import main
from specdec.doctor import Finding, Status, devices, examine, folders, products, versions
from specdec.doctor import plugins as of_plugins
from specdec.plugins import Plugins
from tests.test_plugins import distribution

OWN = ["versions", "devices", "processor", "folders", "plugins"]


def doctor(*args):
    return CliRunner().invoke(main.app, ["doctor", *args], prog_name="specdec")


def found(findings):
    return {finding.name: finding for finding in findings}


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def quick(monkeypatch):
    """Leaves out what takes time."""
    monkeypatch.setattr("specdec.doctor.checks.products", lambda: iter(()))
    monkeypatch.setenv("SPECDEC_DISABLED_PLUGINS", "cuda")


@pytest.mark.usefixtures("without_gpu")
def test_json_of_a_machine_without_a_gpu():
    result = doctor("--json")
    printed = json.loads(result.stdout)
    rows = {(row["check"], row["name"]): row for row in printed["findings"]}

    assert [row for row in printed["findings"] if row["status"] == "failed"] == []
    assert (result.exit_code, printed["ok"]) == (0, True)
    assert list(dict.fromkeys(check for check, _ in rows))[: len(OWN)] == OWN
    assert rows["versions", "torch"]["message"] == torch.__version__
    assert rows["devices", "GPU"]["status"] in ("info", "ok", "warning")
    assert rows["processor", "noise"]["status"] == "ok"
    assert rows["processor", "full precision"]["figures"]["median_ms"] > 0
    assert all(list(row) == ["check", "name", "status", "message", "figures"] for row in printed["findings"])


@pytest.mark.usefixtures("without_gpu", "quick")
class TestPlugins:
    @pytest.mark.parametrize(
        ("name", "code", "message"),
        [
            ("unimportable", "import a_module_that_is_not_there\n", "No module named 'a_module_that_is_not_there'"),
            (
                "misspelt",
                "from specdec import hookimpl\n@hookimpl\ndef on_stepp(): ...\n",
                "a hook that specdec does not know",
            ),
            (
                "raising",
                "from specdec import hookimpl\n@hookimpl\ndef register_rules():\n    1 / 0\n",
                "division by zero",
            ),
        ],
    )
    def test_a_broken_one_is_told_and_the_others_are_checked(self, tmp_path, monkeypatch, name, code, message):
        distribution(tmp_path, name, code)
        monkeypatch.syspath_prepend(str(tmp_path))

        result = doctor()
        lines = " ".join(result.stdout.split())

        assert result.exit_code == 1
        assert message in lines
        assert f"SPECDEC_DISABLED_PLUGINS={name} leaves it out" in lines
        assert "policy adaptive, auto, chain" in lines
        assert lines.endswith(f"broken: plugins, {name}")

        monkeypatch.setenv("SPECDEC_DISABLED_PLUGINS", f"cuda, {name}")
        left_out = doctor()
        assert left_out.exit_code == 0
        assert "left out, as SPECDEC_DISABLED_PLUGINS says" in " ".join(left_out.stdout.split())

    def test_checks_of_theirs_come_last_one_finding_at_a_time(self, monkeypatch):
        done = []

        def check() -> Iterator[Finding]:
            yield Finding("first", Status.WARNING, "expected more, got less")
            done.append("first")
            raise RuntimeError("no more\nthan this")

        class Mine:
            @hookimpl
            def register_checks(self, register):
                register("mine", check)

        loaded = Plugins()
        loaded.add(Mine(), "mine")
        monkeypatch.setattr(of_plugins, "Plugins", lambda **_: loaded)
        findings = examine()
        first = next(finding for name, finding in findings if name == "mine")

        assert (first.name, done) == ("first", [])
        assert [(name, one.status, one.message) for name, one in findings] == [
            ("mine", Status.FAILED, "expected the check to finish, got RuntimeError: no more")
        ]

    def test_a_command_that_cannot_be_loaded(self, monkeypatch):
        """It says so when it is called, with whatever arguments; the others work."""
        point = EntryPoint("broken", "a_module_that_is_not_there:command", "specdec.commands")
        monkeypatch.setattr(main.app, "registered_commands", [*main.app.registered_commands])
        monkeypatch.setattr(of_plugins, "entry_points", lambda group: [point])
        main._add_command(point)

        called = CliRunner().invoke(main.app, ["broken", "--port", "1", "more"])
        result = doctor()

        assert called.exit_code == 2
        assert "command 'broken' cannot be loaded: No module named" in called.stderr
        assert result.exit_code == 1
        assert result.stdout.endswith("broken: plugins, specdec broken\n")


class TestVersions:
    @pytest.fixture
    def mine(self, tmp_path, monkeypatch):
        """Gives a function that installs a distribution with requirements."""
        monkeypatch.syspath_prepend(str(tmp_path))

        def install(*requirements):
            distribution(tmp_path, "mine", "")
            lines = "".join(f"Requires-Dist: {one}\n" for one in requirements)
            with (tmp_path / "mine-1.0.dist-info/METADATA").open("a") as file:
                file.write(f"Provides-Extra: more\n{lines}")
            return found(versions.versions(["mine"]))

        return install

    def test_what_is_there_is_what_is_required(self):
        findings = found(versions.versions())

        assert {"python", "specdec-kit", "torch", "transformers"} <= set(findings)
        assert "pytest" not in findings
        assert {one.status for one in findings.values()} <= {Status.OK, Status.INFO}

    def test_another_version_or_none(self, mine):
        findings = mine("torch<2", "not-there>=3", "not-here; sys_platform == 'none'", "numpy>=1")

        assert findings["torch"].message == (
            f"expected torch<2 for mine, got {torch.__version__}; pip install 'torch<2'"
        )
        assert findings["torch"].status == findings["not-there"].status == Status.FAILED
        assert findings["not-there"].message == "expected not-there>=3, got none; pip install 'not-there>=3'"
        assert "not-here" not in findings
        assert findings["numpy"].status == Status.OK

    def test_what_only_an_extra_needs(self, mine):
        findings = mine("not-there>=3; extra == 'more'", "pytest<1; extra == 'more'")

        assert (findings["not-there"].status, findings["pytest"].status) == (Status.INFO, Status.WARNING)
        assert findings["not-there"].message == "not installed; pip install 'mine[more]'"

    def test_specdec_itself_is_not_installed(self, monkeypatch):
        monkeypatch.setattr(versions, "KIT", "not-there")

        assert found(versions.versions())["not-there"].message == (
            "expected not-there, got none; pip install 'not-there'"
        )


class TestDevices:
    def test_more_threads_than_cores(self):
        finding = devices._threads(2, 8)

        assert finding.status == Status.WARNING
        assert finding.message == "expected one per core or fewer, got 8 on 2 cores; set OMP_NUM_THREADS=2"

    def test_a_limit_of_memory(self, tmp_path, monkeypatch):
        monkeypatch.setattr(devices, "LIMIT", tmp_path / "memory.max")
        whole = devices._memory()
        (tmp_path / "memory.max").write_text("max\n")
        assert devices._memory() == whole
        (tmp_path / "memory.max").write_text("1048576\n")
        assert devices._memory() in (0, 1048576)

    @pytest.mark.usefixtures("without_gpu")
    def test_a_driver_without_a_gpu(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(devices, "DRIVERS", {"NVIDIA's": tmp_path})
        assert "expected torch" in (finding := devices._no_gpu()).message
        assert finding.status == Status.WARNING

        monkeypatch.setattr(devices, "DRIVERS", {"NVIDIA's": tmp_path / "none"})
        assert devices._no_gpu().status == Status.INFO

    def test_a_gpu_on_which_nothing_can_be_computed(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        properties = SimpleNamespace(name="Old", major=3, minor=5)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
        monkeypatch.setattr(
            torch, "ones", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no kernel image\nmore"))
        )
        finding = found(devices.devices())["cuda:0"]

        assert finding.status == Status.FAILED
        assert (
            f"expected torch {torch.__version__} to compute on Old, compute capability 3.5, got no kernel image;"
            in finding.message
        )


class TestProducts:
    def test_noise_with_other_bits(self, monkeypatch):
        monkeypatch.setattr(products, "KEY", products.Key(1, 3, products.KEY.purpose))

        assert products._noise().status == Status.FAILED

    def test_a_processor_without_half_precision(self, monkeypatch):
        monkeypatch.setattr("specdec.target.half._has_product", lambda weight: False)
        layer = torch.nn.Linear(512, 512)

        assert products._half(layer, torch.ones(1, 512), 1.0).status == Status.INFO

    @pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="no such product here")
    def test_half_precision_that_is_slow_or_wrong(self, monkeypatch):
        layer = torch.nn.Linear(512, 512, bias=False)
        layer.weight.data = layer.weight.data.half().float()
        states = torch.ones(1, 512)

        assert products._half(layer, states, 0.0).status == Status.WARNING
        monkeypatch.setattr(products, "HalfPrecisionLinear", lambda _: lambda states: layer(states) + 1)
        assert products._half(layer, states, 1e9).status == Status.FAILED


class TestFolders:
    def test_one_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        finding = folders.folder("models", tmp_path / "file", "choose another")

        assert finding.status == Status.WARNING
        assert finding.message == (f"expected a folder that can be written to, got {tmp_path / 'file'}; choose another")

    def test_one_that_is_not_there_yet_and_has_room_or_not(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=5e9))
        assert folders.folder("models", tmp_path / "a/b", "").message == f"{tmp_path / 'a/b'}, 5.0 GB free"

        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1e9))
        assert folders.folder("models", tmp_path, "choose another").status == Status.WARNING
