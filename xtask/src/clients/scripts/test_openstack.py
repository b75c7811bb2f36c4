"""The functions of Nova, Cinder, Glance and ironic-python-agent that run qemu-img, run for real.

Their own unit tests replace qemu-img by a mock. STOCK_QEMU_IMG makes the images; `qemu-img` on PATH is under test.
"""

import os
import subprocess
import types

import pytest

STOCK = os.environ["STOCK_QEMU_IMG"]
SIZE = 6 << 20


def stock(*words):
    subprocess.run([STOCK, *map(str, words)], check=True, stdout=subprocess.PIPE)


def same(left, left_format, right, right_format):
    stock("compare", "-f", left_format, "-F", right_format, left, right)


@pytest.fixture
def images(tmp_path):
    """A disk, images of it, and an instance's overlay whose base lies in another directory."""
    made = types.SimpleNamespace(place=tmp_path)
    made.raw = tmp_path / "disk.raw"
    made.raw.write_bytes(b"".join(bytes([n % 251]) * 65536 if n % 3 else bytes(65536) for n in range(SIZE >> 16)))
    for name, format, options in [
        ("qcow2", "qcow2", []),
        ("vmdk", "vmdk", ["-o", "subformat=streamOptimized"]),
        ("vhdx", "vhdx", []),
        ("vdi", "vdi", []),
    ]:
        path = tmp_path / f"image.{name}"
        stock("convert", "-f", "raw", "-O", format, *options, made.raw, path)
        setattr(made, name, path)
    base = tmp_path / "_base"
    base.mkdir()
    made.base = base / "0123"
    made.base.write_bytes(made.raw.read_bytes())
    instance = tmp_path / "instance"
    instance.mkdir()
    made.instance = instance / "disk"
    # As Nova does it, with the program under test.
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", made.base, "-F", "raw", made.instance], check=True)
    return made


@pytest.fixture
def nova():
    from oslo_config import cfg
    import nova.conf
    from nova.virt import images as nova_images
    from nova.virt.libvirt import utils

    nova.conf.CONF([], project="nova", default_config_files=[])
    return types.SimpleNamespace(images=nova_images, utils=utils, CONF=cfg.CONF)


@pytest.mark.parametrize("name,format", [("raw", "raw"), ("qcow2", "qcow2"), ("vmdk", "vmdk"), ("instance", "qcow2")])
def test_nova_looks_at_a_disk(nova, images, name, format):
    path = str(getattr(images, name))
    assert nova.utils.get_disk_size(path, format) == SIZE
    base = nova.utils.get_disk_backing_file(path, format=format)
    assert base == ("0123" if name == "instance" else None)


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_nova_takes_a_snapshot_of_an_instance(nova, images, format):
    nova.CONF.set_override("instances_path", str(images.place))
    out = images.place / "snapshot"
    nova.utils.extract_snapshot(str(images.instance), "qcow2", str(out), format)
    same(images.raw, "raw", out, format)


def test_nova_compresses_a_snapshot(nova, images):
    nova.CONF.set_override("instances_path", str(images.place))
    nova.CONF.set_override("snapshot_compression", True, group="libvirt")
    out = images.place / "snapshot"
    try:
        nova.utils.extract_snapshot(str(images.instance), "qcow2", str(out), "qcow2")
    finally:
        nova.CONF.clear_override("snapshot_compression", group="libvirt")
    same(images.raw, "raw", out, "qcow2")


def test_nova_makes_an_instance_of_a_base(nova, images):
    out = images.place / "instance" / "new"
    nova.utils.create_image(str(out), "qcow2", SIZE * 2, backing_file=str(images.base))
    same(images.raw, "raw", out, "qcow2")


def test_nova_makes_a_raw_disk(nova, images):
    out = images.place / "ephemeral"
    nova.utils.create_image(str(out), "raw", "8M")
    assert out.stat().st_size == 8 << 20


@pytest.fixture(scope="module")
def agent():
    from ironic_python_agent import config

    config.populate_config()
    config.CONF([], project="ironic-python-agent", default_config_files=[])
    from ironic_python_agent import qemu_img

    return qemu_img


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_ironic_python_agent_looks_at_an_image(agent, images, format):
    info = agent.image_info(str(getattr(images, format)), source_format=format)
    assert info.virtual_size == SIZE
    assert info.file_format == format


@pytest.mark.parametrize("format", ["qcow2", "vmdk"])
def test_ironic_python_agent_converts_to_a_file(agent, images, format):
    out = images.place / "out.raw"
    agent.convert_image(str(getattr(images, format)), str(out), "raw", source_format=format)
    same(images.raw, "raw", out, "raw")


def test_ironic_python_agent_writes_a_device(agent, images):
    file = images.place / "device"
    file.write_bytes(bytes(SIZE))
    found = subprocess.run(["losetup", "-f", "--show", file], stdout=subprocess.PIPE, text=True)
    if found.returncode != 0:
        pytest.skip("no loop devices here")
    device = found.stdout.strip()
    try:
        agent.convert_image(
            str(images.qcow2),
            device,
            out_format="host_device",
            cache="directsync",
            out_of_order=True,
            sparse_size="0",
            source_format="qcow2",
        )
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
    same(images.raw, "raw", file, "raw")


@pytest.fixture
def cinder(images):
    from oslo_config import cfg
    from cinder import privsep
    from cinder.common import config  # noqa: F401 (its options)
    from cinder.image import image_utils

    cfg.CONF([], project="cinder", default_config_files=[])
    cfg.CONF.set_override("image_conversion_dir", str(images.place))
    privsep.sys_admin_pctxt.set_client_mode(False)
    return image_utils


@pytest.mark.parametrize("format", ["raw", "qcow2", "vmdk", "vhdx", "vdi"])
def test_cinder_looks_at_an_image(cinder, images, format):
    info = cinder.qemu_img_info(str(getattr(images, format)), run_as_root=False)
    assert info.file_format == format
    assert info.virtual_size >= SIZE


@pytest.mark.parametrize("format", ["qcow2", "vmdk", "vhdx", "vdi"])
def test_cinder_converts_to_raw(cinder, images, format):
    out = images.place / "out.raw"
    cinder.convert_image(str(getattr(images, format)), str(out), "raw", src_format=format, run_as_root=False)
    same(images.raw, "raw", out, "raw")


@pytest.mark.parametrize("format", ["qcow2", "vmdk", "vhdx", "vdi"])
def test_cinder_converts_from_raw(cinder, images, format):
    out = images.place / "out"
    cinder.convert_image(str(images.raw), str(out), format, src_format="raw", run_as_root=False, compress=True)
    same(images.raw, "raw", out, format)


def test_cinder_grows_an_image(cinder, images):
    try:
        cinder.resize_image(str(images.qcow2), 1, run_as_root=False, file_format="qcow2")
    except Exception as error:  # One line, for the report.
        pytest.fail(" ".join(str(error).split()), pytrace=False)
    assert cinder.qemu_img_info(str(images.qcow2), run_as_root=False).virtual_size == 1 << 30


@pytest.fixture
def glance():
    from oslo_config import cfg
    from glance.common import config  # noqa: F401 (its options)
    from glance.async_.flows.plugins import image_conversion

    cfg.CONF([], project="glance", default_config_files=[])
    return image_conversion


class Action:
    """What Glance's task writes its findings to."""

    def __init__(self):
        self.attributes = {}

    def set_image_attribute(self, **attributes):
        self.attributes.update(attributes)


@pytest.mark.parametrize("source,target", [("qcow2", "raw"), ("vmdk", "raw"), ("raw", "qcow2"), ("vhdx", "qcow2")])
def test_glance_converts_at_import(glance, images, source, target):
    action = Action()
    action.image_disk_format = source
    action.image_id = "0"
    wrapper = types.SimpleNamespace(image_id="0")
    glance.CONF.set_override("output_format", target, group="image_conversion")
    # It removes what it converted.
    copy = images.place / "upload"
    copy.write_bytes(getattr(images, source).read_bytes())
    work = glance._ConvertImage(None, "0", "import", wrapper, [])
    path = work._execute(action, f"file://{copy}")
    same(images.raw, "raw", path.removeprefix("file://"), target)
    assert action.attributes["virtual_size"] == SIZE
