"""Plugins: found, made, refused, and told what goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

import pytest
from typer.testing import CliRunner

from specdec import Decoder, Drafter, Sampling, Stop, Target, hookimpl, load_drafter, load_policy, plugins
from specdec.cli.main import app
from specdec.errors import DuplicateName, OptionError, PluginError, UnknownName
from specdec.plugins import Plugins
from specdec.policies import Chain
from tests.toys import RAGGED, tiny

ROOT = Path(__file__).parent.parent
PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which the package was installed for real."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(PACKAGE)], check=True
    )
    return folder


@pytest.fixture
def installed(site, monkeypatch):
    """The package on the path, and nothing loaded yet."""
    monkeypatch.syspath_prepend(str(site))
    plugins.plugins.cache_clear()
    yield
    plugins.plugins.cache_clear()
    sys.modules.pop("specdec_echo", None)


def distribution(folder, name, code):
    """Lay out an installed distribution by hand: one module, and an entry point to it."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[specdec]\n{name} = {name}\n")


class TestInstalledPackage:
    def test_the_command_lists_it_with_its_distribution(self, installed):
        listed = CliRunner().invoke(app, ["plugins", "--json"])

        assert listed.exit_code == 0
        assert json.loads(listed.stdout)["drafter"]["echo"] == "specdec-echo"

    def test_it_drafts_without_changing_the_text(self, installed):
        drafter = load_drafter("echo")
        sampling = Sampling(temperature=1.0, seed=3)
        target = Target(tiny())
        said = Decoder(drafter, target, load_policy("chain")).generate(RAGGED, sampling, Stop(max_tokens=12))
        plain = Decoder(load_drafter("none"), target).generate(RAGGED, sampling, Stop(max_tokens=12))

        assert isinstance(drafter, Drafter)
        assert said.tokens == plain.tokens

    def test_it_passes_its_own_tests(self, site, tmp_path):
        shutil.copytree(PACKAGE, tmp_path / "package")  # out of reach of the configuration here
        path = os.pathsep.join([str(site), str(ROOT)])
        tested = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--quiet"],
            cwd=tmp_path / "package",
            env=os.environ | {"PYTHONPATH": path, "PYTEST_ADDOPTS": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )

        assert tested.returncode == 0, tested.stdout
        assert "1 passed" in tested.stdout

    def test_it_can_be_switched_off(self, installed, monkeypatch):
        monkeypatch.setenv("SPECDEC_DISABLED_PLUGINS", "other, echo")

        with pytest.raises(UnknownName, match=r"no drafter is called 'echo'; there are: .*ngram"):
            load_drafter("echo")


class TestRefused:
    def test_a_name_that_is_taken(self):
        class Second:
            @hookimpl
            def register_drafters(self, register):
                register("mine", object)
                register("ngram", object)

        loaded = Plugins()
        before = loaded.entries
        with pytest.raises(DuplicateName, match=r"drafter 'ngram' is registered by specdec-kit and by second"):
            loaded.add(Second(), "second")

        assert loaded.entries == before

    def test_a_hook_that_does_not_exist(self):
        class Typo:
            @hookimpl
            def on_stepp(self, step):
                raise AssertionError

        with pytest.raises(PluginError, match=r"'typo' has a hook that specdec does not know.*on_stepp"):
            Plugins().add(Typo(), "typo")

    def test_an_argument_that_a_hook_does_not_have(self):
        class Typo:
            @hookimpl
            def on_step(self, stpe):
                raise AssertionError

        with pytest.raises(PluginError, match="stpe"):
            Plugins().add(Typo(), "typo")

    def test_what_does_not_import_unless_it_is_switched_off(self, tmp_path, monkeypatch):
        distribution(tmp_path, "broken_plugin", "import a_module_that_is_not_there\n")
        monkeypatch.syspath_prepend(str(tmp_path))

        with pytest.raises(
            PluginError, match=r"'broken_plugin' cannot be loaded: .*SPECDEC_DISABLED_PLUGINS=broken_pl"
        ):
            Plugins()
        monkeypatch.setenv("SPECDEC_DISABLED_PLUGINS", "broken_plugin")

        assert Plugins().entries

    def test_two_distributions_with_one_name(self, tmp_path, monkeypatch):
        code = "from specdec import hookimpl\n@hookimpl\ndef register_rules(register):\n    register('same', object)\n"
        distribution(tmp_path, "one_plugin", code)
        distribution(tmp_path, "two_plugin", code)
        monkeypatch.syspath_prepend(str(tmp_path))

        with pytest.raises(DuplicateName, match=r"rule 'same' is registered by \w+_plugin and by \w+_plugin"):
            Plugins()

    def test_two_entry_points_of_one_name(self):
        loaded = Plugins()
        loaded.add(Listener(), "mine")

        with pytest.raises(DuplicateName, match="two plugins are called 'mine'"):
            loaded.add(Listener(), "mine")

    def test_nothing_stays_of_a_plugin_that_fails_half_way(self):
        class Fails:
            @hookimpl
            def register_policies(self, register):
                register("mine", object)
                raise RuntimeError("half way")

        loaded, plugin = Plugins(), Fails()
        before = loaded.entries
        with pytest.raises(RuntimeError, match="half way"):
            loaded.add(plugin, "fails")

        assert loaded.entries == before
        assert not loaded.manager.is_registered(plugin)


class TestMaking:
    def test_an_unknown_name_lists_the_known_ones(self):
        with pytest.raises(UnknownName, match=r"no policy is called 'dynamik'; there are: .*chain.*dynamic"):
            load_policy("dynamik")

    def test_an_unknown_option_lists_the_known_ones(self):
        with pytest.raises(OptionError, match="policy 'chain' has no option 'len'; there are: length, sampled"):
            load_policy("chain", len=3)

    def test_an_option_of_the_wrong_kind(self):
        with pytest.raises(OptionError, match="depth that is a whole number, got 'deep'"):
            load_policy("dynamic", depth="deep")

    def test_a_path_that_is_not_taken(self):
        with pytest.raises(OptionError, match="drafter 'ngram' takes no path, got 'somewhere'"):
            load_drafter("ngram", "somewhere")

    def test_a_path_that_is_missing(self):
        with pytest.raises(OptionError, match="drafter 'small_model' needs 'path'"):
            load_drafter("small_model")

    def test_a_spec_is_a_name_with_options(self):
        assert load_policy("chain:length=3") == Chain(3)
        assert load_policy("chain:length=3", length=4) == Chain(4)

    def test_a_path_that_is_given_twice(self):
        with pytest.raises(OptionError, match=r"one path for drafter 'small_model', got 'a' and 'b'"):
            load_drafter("small_model:a", Path("b"))

    def test_an_option_is_read_as_the_factory_s_annotation_says(self):
        """Annotations may be text, or of names that are there for type checkers alone."""
        loaded = Plugins()
        loaded.add(Typed(), "typed")
        made = loaded.make(
            "policy", "typed:flag=no,maybe=off,later=no,tag=1e3,word=true,size=2,share=1,free=1e3", {}, {}
        )

        assert made == {
            "flag": False,
            "maybe": False,
            "later": False,
            "tag": "1e3",
            "word": "true",
            "size": 2,
            "share": 1,
            "free": 1000.0,
            "hidden": None,
        }
        with pytest.raises(OptionError, match="yes or no for 'maybe' of policy 'typed', got 2"):
            loaded.make("policy", "typed:maybe=2", {}, {})

    def test_a_spec_without_a_value(self):
        with pytest.raises(OptionError, match=r"policy 'chain' takes no path, got '3'; its options are: length"):
            load_policy("chain:3")


class Typed:
    @hookimpl
    def register_policies(self, register):
        def make(
            free=0,
            flag: "bool" = True,
            maybe: Optional[bool] = None,  # noqa: UP045
            later: "bool | None" = None,
            tag: str = "",
            word: str | None = None,
            size: int | str = 1,
            share: "float" = 0.5,
            hidden: "KnownToTypeCheckersAlone" = None,  # noqa: F821
        ):
            return locals()

        register("typed", make)


class Listener:
    """Names only what it wants to hear."""

    def __init__(self):
        self.heard = []

    @hookimpl
    def on_begin(self, context):
        self.heard.append(("begin", list(map(len, context.tokens))))

    @hookimpl
    def on_step(self, step, trees):
        self.heard.append(("step", step.lengths, len(trees)))

    @hookimpl
    def on_end(self):
        self.heard.append(("end",))


def test_events_come_in_order_with_the_arguments_that_are_named():
    listener = Listener()
    plugins.plugins().add(listener, "listener")
    try:
        decoder = Decoder(load_drafter("ngram"), Target(tiny()))
        lengths = [step.lengths for step in decoder.stream(RAGGED, stop=Stop(max_tokens=5))]
    finally:
        plugins.plugins().remove(listener)
    decoder.generate([[1, 2, 3]], stop=Stop(max_tokens=2))

    steps = [("step", length, len(RAGGED)) for length in lengths]
    assert listener.heard == [("begin", [len(prompt) for prompt in RAGGED]), *steps, ("end",)]
