//! The directories of real callers: with the configuration that docs/callers gives for each, their command lines can read their
//! own images, and an image that a stranger uploaded cannot read others.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::device::Loop;
use instar_tests::ledger::skip;
use instar_tests::{Bench, Outcome, Reference, both_sandboxes, disk, instar_path};

/// Whether files here keep attributes of users and times of birth, without which nothing is recorded.
pub(crate) fn attributes(bench: &Bench) -> bool {
    fs::write(bench.path("probe"), b"x").unwrap();
    let set =
        rustix::fs::setxattr(bench.path("probe"), "user.instar.probe", b"x", rustix::fs::XattrFlags::empty());
    let born = fs::metadata(bench.path("probe")).unwrap().created().is_ok();
    fs::remove_file(bench.path("probe")).unwrap();
    let works = born && set.is_ok();
    if !works {
        skip("files in the directory for temporary files keep no attributes");
    }
    works
}

/// The program with the rights of root for everybody, where that can be had.
pub(crate) fn elevated(bench: &Bench) -> Option<PathBuf> {
    let program = bench.path("elevated");
    fs::copy(instar_path(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(bench.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let tried = Command::new("setpriv").args(nobody).arg(&program).arg("--version").output();
    let works = tried.is_ok_and(|tried| tried.status.success());
    if !works {
        skip("only root can give rights to a program");
    }
    works.then_some(program)
}

/// A caller's configuration: the lines of its page in docs/callers, with the caller's directories moved to the bench.
fn configured(bench: &Bench, page: &str) {
    let path = format!("{}/../docs/callers/{page}.md", env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(&path).unwrap();
    let lines = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let moved = |word: &str| match word.starts_with('/') && !word.starts_with("/dev") {
        true => bench.path(&word[1..]).to_str().unwrap().to_owned(),
        false => word.to_owned(),
    };
    // Every second piece between quotes is a word.
    let words: Vec<String> = lines
        .split('"')
        .enumerate()
        .map(|(n, piece)| {
            if n % 2 == 1 {
                moved(piece)
            } else {
                piece.to_owned()
            }
        })
        .collect();
    fs::create_dir_all(bench.path(".config/instar")).unwrap();
    fs::write(bench.path(".config/instar/config.toml"), words.join("\"")).unwrap();
}

fn directories(bench: &Bench, names: &[&str]) {
    for name in names {
        fs::create_dir_all(bench.path(name)).unwrap();
    }
}

/// An image with the usual disk; its raw twin is `disk.raw`.
fn image(bench: &Bench, name: &str) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", name]).succeeds();
}

fn overlay(bench: &Bench, name: &str, below: &str) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2", name]).succeeds();
}

/// An upload that names a file of somebody else's.
fn evil(bench: &Bench, name: &str, below: &str) {
    bench.qemu(["create", "-q", "-u", "-f", "qcow2", "-b", below, "-F", "raw", name, "1M"]).succeeds();
}

/// Reads the image as the caller does, and finds the usual disk.
#[track_caller]
fn reads(bench: &Bench, image: &str) {
    bench.instar(["convert", "-f", "qcow2", "-O", "raw", image, "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", image);
    bench.instar(["info", "--output=json", "--backing-chain", image]).succeeds();
}

#[track_caller]
fn refuses(bench: &Bench, image: &str) {
    let refused = bench.instar(["convert", "-f", "qcow2", "-O", "raw", image, "stolen"]);
    refused.fails_with("the image names");
    assert!(!bench.path("stolen").exists());
}

both_sandboxes!(
    nova_reads_its_overlays_and_no_upload_reads_a_base,
    cinder_reads_its_snapshots_and_no_upload_beside_others,
    glance_reads_uploads_and_none_reads_another,
    ironic_reads_images_and_none_reads_another,
    vdsm_reads_volumes_through_its_directories_of_links,
    vdsm_reads_volumes_that_are_devices,
    libvirt_reads_layers_across_its_pools,
    proxmox_reads_linked_clones,
    cdi_reads_uploads_and_opens_nothing_that_they_name,
    incus_reads_images_that_it_unpacked,
    lima_reads_its_disk_above_the_image_beside_it,
);

fn nova_reads_its_overlays_and_no_upload_reads_a_base(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    configured(bench, "nova");
    directories(bench, &["var/lib/nova/instances/_base", "var/lib/nova/instances/one"]);
    image(bench, "var/lib/nova/instances/_base/0a");
    let below = bench.path("var/lib/nova/instances/_base/0a");
    let option = format!("backing_file={},backing_fmt=qcow2", below.display());
    bench.instar(["create", "-f", "qcow2", "-o", &option, "var/lib/nova/instances/one/disk"]).succeeds();
    reads(bench, "var/lib/nova/instances/one/disk");
    // The hypervisor's own snapshot above it.
    overlay(bench, "var/lib/nova/instances/one/disk.snap", "disk");
    reads(bench, "var/lib/nova/instances/one/disk.snap");
    evil(bench, "var/lib/nova/instances/_base/0b.part", "0a");
    refuses(bench, "var/lib/nova/instances/_base/0b.part");
}

fn cinder_reads_its_snapshots_and_no_upload_beside_others(bench: &Bench) {
    configured(bench, "cinder");
    directories(bench, &["var/lib/cinder/mnt/aa", "var/lib/cinder/conversion"]);
    image(bench, "var/lib/cinder/mnt/aa/volume-1");
    overlay(bench, "var/lib/cinder/mnt/aa/volume-1.snap", "volume-1");
    reads(bench, "var/lib/cinder/mnt/aa/volume-1.snap");
    image(bench, "var/lib/cinder/conversion/tmp1");
    evil(bench, "var/lib/cinder/conversion/tmp2", "tmp1");
    refuses(bench, "var/lib/cinder/conversion/tmp2");
    reads(bench, "var/lib/cinder/conversion/tmp1");
}

fn glance_reads_uploads_and_none_reads_another(bench: &Bench) {
    configured(bench, "glance");
    directories(bench, &["var/lib/glance/os_glance_staging_store", "var/lib/glance/images"]);
    for place in ["os_glance_staging_store", "images"] {
        let at = |name: &str| format!("var/lib/glance/{place}/{name}");
        image(bench, &at("one"));
        evil(bench, &at("two"), "one");
        reads(bench, &at("one"));
        refuses(bench, &at("two"));
    }
}

fn ironic_reads_images_and_none_reads_another(bench: &Bench) {
    configured(bench, "ironic");
    directories(bench, &["var/lib/ironic/images", "var/lib/ironic/master_images"]);
    for place in ["images", "master_images"] {
        let at = |name: &str| format!("var/lib/ironic/{place}/{name}");
        image(bench, &at("one"));
        evil(bench, &at("two"), "one");
        reads(bench, &at("one"));
        refuses(bench, &at("two"));
    }
}

fn vdsm_reads_volumes_through_its_directories_of_links(bench: &Bench) {
    configured(bench, "vdsm");
    directories(bench, &["rhev/data-center/mnt/server/domain/images/disk", "run/vdsm/storage/domain"]);
    image(bench, "rhev/data-center/mnt/server/domain/images/disk/one");
    overlay(bench, "rhev/data-center/mnt/server/domain/images/disk/two", "one");
    symlink(
        bench.path("rhev/data-center/mnt/server/domain/images/disk"),
        bench.path("run/vdsm/storage/domain/disk"),
    )
    .unwrap();
    symlink("mnt/server/domain", bench.path("rhev/data-center/pool")).unwrap();
    for way in ["run/vdsm/storage/domain/disk/two", "rhev/data-center/pool/images/disk/two"] {
        reads(bench, way);
        let words = ["check", "--output", "json", "-f", "qcow2", way];
        assert_eq!(bench.instar(words).succeeds().text(), bench.qemu(words).text());
    }
    // A template's volume is a link in the directory of the disk.
    directories(bench, &["rhev/data-center/mnt/server/domain/images/template"]);
    fs::rename(
        bench.path("rhev/data-center/mnt/server/domain/images/disk/one"),
        bench.path("rhev/data-center/mnt/server/domain/images/template/one"),
    )
    .unwrap();
    symlink("../template/one", bench.path("rhev/data-center/mnt/server/domain/images/disk/one")).unwrap();
    reads(bench, "rhev/data-center/mnt/server/domain/images/disk/two");
}

fn vdsm_reads_volumes_that_are_devices(bench: &Bench) {
    configured(bench, "vdsm");
    let Some(lower) = Loop::of_size(bench, "lower", 40) else {
        return;
    };
    let Some(upper) = Loop::of_size(bench, "upper", 40) else {
        return;
    };
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", lower.name()]).succeeds();
    directories(bench, &["rhev/data-center/domain/images/disk"]);
    for (device, name) in [(&lower, "one"), (&upper, "two")] {
        symlink(device.name(), bench.path("rhev/data-center/domain/images/disk").join(name)).unwrap();
    }
    Outcome::of(
        Reference::installed()
            .program("qemu-img")
            .current_dir(bench.path("rhev/data-center/domain/images/disk"))
            .args(["create", "-q", "-f", "qcow2", "-b", "one", "-F", "qcow2", "two"]),
    )
    .succeeds();
    reads(bench, "rhev/data-center/domain/images/disk/two");
    let plain = Outcome::of(
        bench
            .command([
                "convert",
                "-f",
                "qcow2",
                "-O",
                "raw",
                "rhev/data-center/domain/images/disk/two",
                "stolen",
            ])
            .env("XDG_CONFIG_HOME", "/nonexistent"),
    );
    plain.fails_with("the image names");
}

fn libvirt_reads_layers_across_its_pools(bench: &Bench) {
    configured(bench, "libvirt");
    directories(bench, &["var/lib/libvirt/images", "srv/pool"]);
    image(bench, "srv/pool/golden.qcow2");
    let below = bench.path("srv/pool/golden.qcow2");
    overlay(bench, "var/lib/libvirt/images/vm.qcow2", below.to_str().unwrap());
    overlay(
        bench,
        "var/lib/libvirt/images/vm.snap1",
        bench.path("var/lib/libvirt/images/vm.qcow2").to_str().unwrap(),
    );
    reads(bench, "var/lib/libvirt/images/vm.snap1");
    evil(bench, "var/lib/libvirt/images/evil", "/etc/passwd");
    refuses(bench, "var/lib/libvirt/images/evil");
}

fn proxmox_reads_linked_clones(bench: &Bench) {
    configured(bench, "proxmox");
    directories(bench, &["var/lib/vz/images/100", "var/lib/vz/images/101", "var/lib/vz/import"]);
    image(bench, "var/lib/vz/images/100/base-100-disk-0.qcow2");
    Outcome::of(
        Reference::installed().program("qemu-img").current_dir(bench.path("var/lib/vz/images/101")).args([
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            "../100/base-100-disk-0.qcow2",
            "-F",
            "qcow2",
            "vm-101-disk-0.qcow2",
        ]),
    )
    .succeeds();
    reads(bench, "var/lib/vz/images/101/vm-101-disk-0.qcow2");
    evil(bench, "var/lib/vz/import/upload.qcow2", "../images/100/base-100-disk-0.qcow2");
    refuses(bench, "var/lib/vz/import/upload.qcow2");
}

fn cdi_reads_uploads_and_opens_nothing_that_they_name(bench: &Bench) {
    configured(bench, "cdi");
    directories(bench, &["scratch", "data"]);
    image(bench, "scratch/tmpimage");
    reads(bench, "scratch/tmpimage");
    fs::write(bench.path("scratch/disk.img"), b"another's").unwrap();
    evil(bench, "scratch/evil", "disk.img");
    refuses(bench, "scratch/evil");
}

fn incus_reads_images_that_it_unpacked(bench: &Bench) {
    configured(bench, "incus");
    directories(bench, &["var/lib/incus/images", "var/lib/incus/storage-pools/default/virtual-machines/one"]);
    image(bench, "var/lib/incus/images/rootfs.img");
    reads(bench, "var/lib/incus/images/rootfs.img");
    fs::write(bench.path("var/lib/incus/images/other"), b"another's").unwrap();
    evil(bench, "var/lib/incus/images/evil.img", "other");
    refuses(bench, "var/lib/incus/images/evil.img");
    let Some(volume) = Loop::of_size(bench, "volume", 40) else {
        return;
    };
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", volume.name()]).succeeds();
    let top = "var/lib/incus/storage-pools/default/virtual-machines/one/root.img";
    overlay(bench, top, volume.name());
    reads(bench, top);
}

fn lima_reads_its_disk_above_the_image_beside_it(bench: &Bench) {
    configured(bench, "lima");
    directories(bench, &["lima/default", "cache"]);
    image(bench, "lima/default/basedisk");
    overlay(bench, "lima/default/diffdisk", bench.path("lima/default/basedisk").to_str().unwrap());
    reads(bench, "lima/default/diffdisk");
    evil(bench, "lima/default/other", "../../.ssh/id");
    refuses(bench, "lima/default/other");
}
