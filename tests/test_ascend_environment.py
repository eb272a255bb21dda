"""CANN's environment, with install trees made for the test."""

import os

import pytest

from common.ascend.environment import cann_environment, read_changes, with_hf32
from common.core.errors import ZooError

BARE = {"PATH": os.environ["PATH"]}


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def system(tmp_path):
    root = tmp_path / "a system; touch hacked"  # a path is data, whatever its letters say
    root.mkdir()
    return root


def toolkit(install, text="export ASCEND_HOME_PATH=/cann\n"):
    (install / "ascend-toolkit" / "latest").mkdir(parents=True)
    return script(install / "ascend-toolkit" / "set_env.sh", text)


@pytest.mark.parametrize("name", ["ascend-toolkit", "nnae", "cann"])
def test_cann_in_the_usual_place_is_found_by_any_of_its_names(system, name):
    (system / "usr/local/Ascend" / name / "latest").mkdir(parents=True)
    found = script(system / "usr/local/Ascend" / name / "set_env.sh", "export A=1\n")
    script(system / "usr/local/Ascend/tfplugin/set_env.sh", "export B=1\n")  # of TensorFlow alone
    cann = cann_environment(BARE, "pytorch", system)
    assert cann.scripts == (str(found),) and cann.changes == {"A": "1"}


def test_an_installation_in_the_users_home_is_found(system):
    found = toolkit(system / "home" / "Ascend")
    cann = cann_environment(dict(BARE, HOME=str(system / "home")), "pytorch", system)
    assert cann.scripts == (str(found),)


def test_the_installers_note_comes_before_the_usual_place(system):
    toolkit(system / "usr/local/Ascend")
    script(system / "etc/Ascend/ascend_cann_install.info", "version=1\nInstall_Path=/opt/cann\n")
    found = toolkit(system / "opt/cann")
    assert cann_environment(BARE, "pytorch", system).scripts == (str(found),)


def test_tensorflow_also_reads_the_plugins_script(system):
    toolkit(system / "usr/local/Ascend", "export ORDER=toolkit\n")
    plugin = script(system / "usr/local/Ascend/tfplugin/set_env.sh", "export ORDER=$ORDER,plugin\n")
    cann = cann_environment(BARE, "tensorflow", system)
    assert cann.scripts[1] == str(plugin) and cann.changes["ORDER"] == "toolkit,plugin"


def test_tensorflow_gets_the_plugins_packages_where_it_has_no_script(system):
    install = system / "usr/local/Ascend"
    toolkit(install, "export PYTHONPATH=/cann/python\n")
    packages = install / "tfplugin/latest/python/site-packages"
    (packages / "npu_bridge").mkdir(parents=True)
    changes = cann_environment(BARE, "tensorflow", system).changes
    assert changes["PYTHONPATH"] == f"{packages}:/cann/python"


def test_the_plugins_wheel_at_the_manuals_place_is_found(system):
    """pip3 install npu_bridge-….whl -t $HOME/Ascend/tfplugin"""
    home = system / "home"
    (home / "Ascend/tfplugin/npu_bridge").mkdir(parents=True)
    toolkit(system / "usr/local/Ascend")
    found = cann_environment(dict(BARE, HOME=str(home), PYTHONPATH="/mine"), "tensorflow", system)
    assert found.changes["PYTHONPATH"] == f"{home}/Ascend/tfplugin:/mine"


def test_the_drivers_libraries_are_added_when_they_are_not_named(system):
    install = system / "usr/local/Ascend"
    toolkit(install, "export LD_LIBRARY_PATH=/cann/lib\n")
    (install / "driver/lib64/common").mkdir(parents=True)
    changes = cann_environment(BARE, "pytorch", system).changes
    assert changes["LD_LIBRARY_PATH"] == "/cann/lib:{0}:{0}/common".format(install / "driver/lib64")


@pytest.mark.parametrize(
    "variables",
    [{"ASCEND_HOME_PATH": "/x", "ASCEND_OPP_PATH": "/y"}, {"etp_running_flag": "true"}],
)
def test_a_prepared_environment_is_left_alone_and_half_a_preparation_is_none(system, variables):
    toolkit(system / "usr/local/Ascend")
    cann = cann_environment(dict(BARE, **variables), "pytorch", system)
    assert not cann.scripts and not cann.changes and next(iter(variables)) in cann.remark
    for name in ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH"):
        assert cann_environment(dict(BARE, **{name: "/x"}), "pytorch", system).scripts


def test_without_an_installation_the_places_are_told(system):
    cann = cann_environment(BARE, "pytorch", system)
    assert not cann.scripts and str(system / "usr/local/Ascend") in cann.remark


@pytest.mark.parametrize(
    "text, changes",
    [
        ("export A=x$NOT_SET\nfalse\nexport B=2\n", {"A": "x", "B": "2"}),
        ("echo A=noise\nexport A=$'one\\ntwo'\n", {"A": "one\ntwo"}),
        ("export SAME=1 NEW=2\n", {"NEW": "2"}),
    ],
)
def test_what_a_script_changes_is_read_whatever_it_does_beside(tmp_path, text, changes):
    assert read_changes([script(tmp_path / "set_env.sh", text)], dict(BARE, SAME="1")) == changes


@pytest.mark.parametrize(
    "text, told",
    [("echo broken >&2\nexit 3\n", "set_env.sh failed: broken"), ("sleep 30\n", "did not end")],
)
def test_a_script_that_exits_or_does_not_end_is_told(tmp_path, text, told):
    with pytest.raises(ZooError, match=told):
        read_changes([script(tmp_path / "set_env.sh", text)], BARE, timeout=1.0)


def test_a_machine_without_bash_is_told(tmp_path):
    with pytest.raises(ZooError, match="can't run bash to read .*set_env.sh"):
        read_changes([script(tmp_path / "set_env.sh", "")], {"PATH": str(tmp_path)})


def test_a_path_is_never_read_as_shell(system, monkeypatch):
    monkeypatch.chdir(system)
    toolkit(system / "usr/local/Ascend")
    cann_environment(BARE, "pytorch", system)
    assert not list(system.parent.rglob("hacked"))


@pytest.mark.parametrize(
    "device, value, told",
    [("npu", None, ""), ("npu", "0", ""), ("npu", "1", ", convolutions HF32"), ("cpu", "1", "")],
)
def test_a_record_says_where_float32_was_hf32(monkeypatch, device, value, told):
    monkeypatch.delenv("ENABLE_HF32_EXECUTION", raising=False)
    if value is not None:
        monkeypatch.setenv("ENABLE_HF32_EXECUTION", value)
    assert with_hf32({"arithmetic": "float32"}, device) == {"arithmetic": "float32" + told}
