//! The command lines of real callers, run under the name of qemu-img and under the limits that the callers set. Exit code, output,
//! silence on success and the disk in the target must be the same as with qemu-img.
//!
//! Runs of instar get less memory than any caller allows: 256 MiB of address space, in which qemu-img itself aborts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::{Bench, Outcome, both_sandboxes, disk, instar_path, variant};

/// A program that calls qemu-img.
struct Client {
    name: &'static str,
    /// What it limits qemu-img by.
    under: &'static str,
    lines: &'static [&'static str],
}

const CLIENTS: &[Client] = &[
    Client {
        name: "Nova",
        under: "prlimit --cpu=30 --as=2147483648 env LC_ALL=C LANG=C",
        lines: &[
            "info image --force-share --output=json",
            "info image --force-share --output=json -f qcow2",
            "info over --force-share --output=json",
            "info split.vmdk --force-share --output=json -f vmdk",
            "info absent --force-share --output=json",
            "convert -t none -O raw -f qcow2 image out",
            "convert -t writeback -O raw -f qcow2 image out",
            "convert -t writeback -O qcow2 -f qcow2 image out -c",
            "create -f qcow2 -o backing_file=image,backing_fmt=qcow2 out",
            "create -f qcow2 -o backing_file=image,backing_fmt=qcow2,size=20G out",
        ],
    },
    Client {
        name: "Glance",
        under: "prlimit --cpu=2 --as=1073741824",
        lines: &[
            "info -f qcow2 --output=json image",
            "info -f raw --output=json disk.raw",
            "info -f vmdk --output=json stream.vmdk",
            "convert -f qcow2 -O raw image out",
            "convert -f vmdk -O qcow2 stream.vmdk out",
            "convert -f vpc -O raw image.vhd out",
            "convert -f vdi -O raw image.vdi out",
        ],
    },
    Client {
        name: "Cinder",
        under: "prlimit --cpu=60 --as=1073741824",
        lines: &[
            "info -f qcow2 --output=json image",
            "convert -O raw -f qcow2 image out",
            "convert -O raw -t none -f qcow2 image out",
            "convert -O raw -n -t none -f qcow2 image large.raw",
            "convert -O raw -n -S 0 -f qcow2 image large.raw",
            "convert -O raw -S 0 -f qcow2 image out",
            "convert -O qcow2 -c -f raw disk.raw out",
            "convert -O vmdk -o subformat=streamOptimized -f qcow2 image out",
            "convert -O vpc -o subformat=dynamic -f raw disk.raw out",
        ],
    },
    Client {
        name: "Ironic agent",
        under: "prlimit --as=2147483648 env MALLOC_ARENA_MAX=3",
        lines: &[
            "convert -O raw -f qcow2 image out",
            "convert -O raw -t directsync -S 0 -f qcow2 image out",
            "convert -O raw -t writeback -S 0 -f qcow2 -W image out",
        ],
    },
    Client {
        name: "KubeVirt CDI",
        under: "prlimit --cpu=30 --as=1073741824",
        lines: &[
            "info --output=json image",
            "convert -t none -p -O raw image out",
            "convert -t writeback -p -O raw stream.vmdk out",
            "convert -t writeback -p -O raw disk.raw out",
            "create -f raw -o preallocation=falloc out 10485760",
            "create -f raw -o preallocation=off out 10485760",
            "create -f raw -o preallocation=nonsense out 10485760",
        ],
    },
    Client {
        name: "KubeVirt",
        under: "prlimit --cpu=10 --as=1048576000",
        lines: &["info image --output json", "info disk.raw --output json"],
    },
    Client {
        name: "Proxmox VE",
        under: "prlimit --cpu=5 --as=1073741824",
        lines: &[
            "create -o preallocation=off -f raw out 4096K",
            "create -o preallocation=metadata -f qcow2 out 4096K",
            "create -f qcow2 -o extended_l2=on,cluster_size=128k -b image -F qcow2 out",
            "info --output=json image -f qcow2",
            "info --output=json over -f qcow2 --backing-chain",
            "measure --output=json --size 4096K -O qcow2 -o preallocation=metadata",
            "measure --output=json --size 4096K -O qcow2 -o extended_l2=on,cluster_size=128k",
            "convert -p -n -f qcow2 -O raw image large.raw",
            "convert -p -n -l snapshot.name=s1 -t none -T none -r 100000K -f qcow2 -O raw image large.raw",
            "convert -p -n -f raw -O qcow2 disk.raw large.qcow2",
        ],
    },
    Client {
        name: "vdsm",
        under: "prlimit --cpu=30 --as=1073741824",
        lines: &[
            "info --output json -U image",
            "convert -p -t none -T none -f raw disk.raw -O raw out",
            "convert -p -t none -T none -f qcow2 image -O qcow2 -o compat=0.10 out",
            "convert -p -t none -T none -f qcow2 over -O qcow2 -o compat=1.1,backing_file=image,backing_fmt=qcow2 out",
            "convert -p -t none -T none -f qcow2 -c image -O qcow2 -o compat=1.1 out",
            "convert -p -t none -T none -f qcow2 image -O raw -n -W large.raw",
            "convert -p -t none -T none -f qcow2 image -O raw -n --target-is-zero -W large.raw",
            "convert -p -t none -T none -f qcow2 image -O qcow2 -n -W large.qcow2",
            "convert -p -t none -T none -f qcow2 image -O qcow2 -o compat=1.1 --bitmaps --skip-broken-bitmaps out",
            "measure --output json -f qcow2 -O qcow2 image",
            "measure --output json -O qcow2 'json:{\"driver\": \"qcow2\", \"file\": {\"driver\": \"file\", \"filename\": \"image\"}}'",
            "check --output json -f qcow2 image",
            "check --output json -f qcow2 leaky",
            "map --output json -f qcow2 image",
            "map --output json over",
            "compare -p -f qcow2 image -F raw disk.raw",
        ],
    },
    Client {
        name: "ovirt-imageio",
        under: "env",
        lines: &[
            "info --output json image",
            "measure --output json image -O raw",
            "compare image disk.raw",
            "compare -s disk.raw disk.raw",
            "compare image other.raw",
            "compare image absent",
        ],
    },
    Client {
        name: "libvirt",
        under: "env",
        lines: &[
            "create -f qcow2 -o backing_file=image,backing_fmt=qcow2,compat=1.1 out",
            "create -f qcow2 -o compat=0.10 out 10240K",
            "create -f raw out 10240K",
            "create -f vmdk out 10240K",
            "convert -f raw -O qcow2 -o compat=1.1 disk.raw out",
            "convert -f qcow2 -O raw image out",
        ],
    },
    Client {
        name: "libguestfs",
        under: "prlimit --cpu=10 --as=1073741824",
        lines: &[
            "info -U --output json ./image",
            "info -U --output json ./split.vmdk",
            "create -f qcow2 -o preallocation=metadata out 1048576",
            "create -f raw out 1048576",
            "dd if=disk.raw of=out bs=256k count=1",
        ],
    },
    Client {
        name: "Incus and LXD",
        under: "prlimit --cpu=2 --as=1073741824",
        lines: &[
            "info -f qcow2 --output=json image",
            "info -U --backing-chain --output=json over",
            "convert -p -f qcow2 -O raw -t writeback image out",
            "convert -p -f qcow2 -O raw -T none -t none image out",
            "convert -p -f qcow2 -O raw -t none -T none -W -n --target-is-zero image large.raw",
            "measure -f qcow2 -O raw image",
            "create -f qcow2 -o data_file=data,data_file_raw=on out 4194304b",
        ],
    },
    Client {
        name: "Packer",
        under: "env",
        lines: &[
            "convert -O qcow2 image out",
            "convert -c -O qcow2 image out",
            "convert -c -o compression_type=zstd -O qcow2 image out",
            "create -f qcow2 out 40960M",
            "create -f qcow2 -b image -F qcow2 out 40960M",
        ],
    },
    Client {
        name: "osbuild",
        under: "env",
        lines: &[
            "convert -O qcow2 -c -o compat=0.10 disk.raw out",
            "convert -O qcow2 -c -m 1 -o compat=1.1 disk.raw out",
            "convert -O vmdk -c -m 8 -o subformat=streamOptimized,compat6,adapter_type=lsilogic disk.raw out",
            "convert -O vpc -o subformat=fixed,force_size=on disk.raw out",
            "convert -O vdi disk.raw out",
            "convert -O vhdx disk.raw out",
            "info --output=json image",
        ],
    },
    Client {
        name: "diskimage-builder",
        under: "env",
        lines: &[
            "convert -f raw -O qcow2 disk.raw out",
            "convert -c -f raw -O qcow2 -o compat=0.10 disk.raw out",
            "convert -f raw -O vhdx disk.raw out",
            "convert -f raw -O vmdk disk.raw out",
            "convert -f raw -O vpc disk.raw out",
        ],
    },
    Client {
        name: "cloud-utils",
        under: "env",
        lines: &["info image", "info disk.raw", "info split.vmdk", "convert -f raw -O qcow2 disk.raw out"],
    },
    Client {
        name: "Lima",
        under: "env",
        lines: &[
            "info --output=json --force-share image",
            "info --output=json --force-share split.vmdk",
            "convert -O raw image out",
            "create -f qcow2 out 107374182400",
            "create -f qcow2 -F qcow2 -b image out 107374182400",
        ],
    },
];

/// Room and time that suffice us for everything.
const LITTLE: &str = "prlimit --as=268435456 --cpu=2";

/// Words of a line; quotes hold one together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// What the lines refer to.
fn material(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    fs::write(bench.path("other.raw"), disk::pattern(0, 1 << 20, 7)).unwrap();
    for line in [
        "convert -f raw -O qcow2 disk.raw image",
        "snapshot -c s1 image",
        "bitmap --add image b0",
        "create -q -f qcow2 -b image -F qcow2 over",
        "convert -f raw -O vmdk -o subformat=streamOptimized disk.raw stream.vmdk",
        "convert -f raw -O vmdk -o subformat=twoGbMaxExtentFlat disk.raw split.vmdk",
        "convert -f raw -O vpc disk.raw image.vhd",
        "convert -f raw -O vdi disk.raw image.vdi",
        "create -q -f raw large.raw 8M",
        "create -q -f qcow2 large.qcow2 8M",
        "convert -f raw -O qcow2 disk.raw leaky",
    ] {
        bench.qemu(words(line)).succeeds();
    }
    variant::io(bench, "over", &["write -P 5 64k 100k"]);
    // A cluster that nothing refers to.
    let leaky = instar_tests::craft::Crafted::open(&bench.path("leaky"));
    let block = leaky.get(leaky.get(48));
    let end = bench.path("leaky").metadata().unwrap().len();
    leaky.length(end + 65536);
    leaky.bytes(block + 2 * end.div_ceil(65536), &[0, 1]);
    let place = bench.path("material");
    fs::create_dir(&place).unwrap();
    for name in bench.names().iter().filter(|name| *name != "material") {
        // What a file takes on disk is settled when it has been written back.
        fs::File::open(bench.path(name)).unwrap().sync_all().unwrap();
        fs::rename(bench.path(name), place.join(name)).unwrap();
    }
}

/// Runs a line beside the material, or beside a fresh copy if it writes.
fn run(bench: &Bench, who: &str, under: &str, line: &str) -> Outcome {
    let mut place = bench.path("material");
    if target(line).is_some() {
        place = copy(bench, who);
    }
    let mut path = instar_tests::Reference::search_path();
    if who == "ours" {
        let links = bench.path("links");
        fs::create_dir_all(&links).unwrap();
        let link = links.join("qemu-img");
        if !link.exists() {
            symlink(instar_path(), &link).unwrap();
        }
        let mut all = links.into_os_string();
        all.push(":");
        all.push(path);
        path = all;
    }
    let mut under = words(under).into_iter();
    Outcome::of(
        Command::new(under.next().unwrap())
            .args(under)
            .arg("qemu-img")
            .args(words(line))
            .current_dir(place)
            .env("PATH", path)
            .env("LC_ALL", "C")
            .env("HOME", bench.directory())
            .env_remove("XDG_CONFIG_HOME")
            .envs(instar_tests::reference::environment())
            .env("INSTAR_SANDBOX", bench.sandbox().name()),
    )
}

fn copy(bench: &Bench, who: &str) -> PathBuf {
    let place = bench.path(who);
    if place.exists() {
        fs::remove_dir_all(&place).unwrap();
    }
    let copied = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .args([bench.path("material"), place.clone()])
        .status();
    assert!(copied.unwrap().success());
    place
}

/// Standard output without what depends on how fast the work goes: steps of progress between the first and the last.
/// Fails where a step is not what callers parse.
fn settled(outcome: &Outcome) -> String {
    let text = outcome.text();
    let mut kept = Vec::new();
    let mut last = -1.0;
    for part in text.split_inclusive('\r') {
        let step = part
            .trim()
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix("/100%)"))
            .filter(|_| part.ends_with('\r'));
        let Some(step) = step else {
            kept.push(part);
            continue;
        };
        let value: f64 = step.parse().unwrap_or_else(|_| panic!("{part:?}: {outcome}"));
        assert!(value >= last && value <= 100.0 && part.starts_with("    ("), "{outcome}");
        assert_eq!(step.split('.').nth(1).map(str::len), Some(2), "{outcome}");
        last = value;
        if value == 0.0 || value == 100.0 {
            kept.push(part);
        }
    }
    kept.concat()
}

/// The file of `place` that a line writes.
fn target(line: &str) -> Option<&'static str> {
    ["out", "large.raw", "large.qcow2"]
        .into_iter()
        .find(|name| words(line).iter().any(|word| word.trim_start_matches("of=") == *name))
}

/// qemu-img sees the same image of the same format in both places.
fn same_image(bench: &Bench, line: &str, name: &str, what: &str) {
    let facts = ["theirs", "ours"].map(|who| {
        let place = format!("{who}/{name}");
        let info = bench.qemu(["info", "--output=json", &place]);
        let info: serde_json::Value = serde_json::from_slice(&info.succeeds().stdout).unwrap();
        let mut specific = info["format-specific"]["data"].clone();
        for random in ["cid", "extents", "data-file"] {
            specific.as_object_mut().and_then(|map| map.remove(random));
        }
        (
            info["format"].clone(),
            info["virtual-size"].clone(),
            info["backing-filename"].clone(),
            info["cluster-size"].clone(),
            specific,
        )
    });
    assert_eq!(facts[0], facts[1], "{what}");
    if line.contains("data_file=") {
        // qemu-img looks for the data file where it is called, not beside the image.
        return same_bytes(bench, "theirs/data", "ours/data", what);
    }
    // A fixed VHD has random identifiers in the last sector of what is taken for a raw disk.
    let format = match (&facts[0].0, line.contains("-O vpc")) {
        (_, true) => "vpc",
        (format, false) => format.as_str().unwrap(),
    };
    let compared = bench.qemu([
        "compare",
        "-f",
        format,
        "-F",
        format,
        &format!("theirs/{name}"),
        &format!("ours/{name}"),
    ]);
    assert_eq!(compared.code(), Some(0), "{what}: {compared}");
}

fn names(place: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A line of a client gives what qemu-img gives.
fn same(bench: &Bench, name: &str, under: &str, line: &str) {
    let what = format!("{name}: {line}");
    // The reference starts a thread for each request under way, and aborts now and then where these have little address space.
    let roomy: Vec<&str> = under
        .split(' ')
        .map(|word| {
            if word.starts_with("--as=") {
                "--as=unlimited"
            } else {
                word
            }
        })
        .collect();
    let theirs = run(bench, "theirs", &roomy.join(" "), line);
    // Their environment, and less room than their limits leave.
    let ours = run(bench, "ours", &format!("{under} {LITTLE}"), line);
    assert_eq!(theirs.code(), ours.code(), "{what}: {theirs}{ours}");
    assert_eq!(theirs.errors(), ours.errors(), "{what}");
    assert_eq!(settled(&theirs), settled(&ours), "{what}");
    if ours.code() == Some(0) {
        ours.succeeds();
        if let Some(target) = target(line) {
            let [theirs, ours] = ["theirs", "ours"].map(|who| names(&bench.path(who)));
            assert_eq!(theirs, ours, "{what}");
            same_image(bench, line, target, &what);
        }
    }
}

both_sandboxes!(
    every_line_of_every_client_gives_what_qemu_img_gives,
    limits_on_the_address_space_change_nothing,
);

fn every_line_of_every_client_gives_what_qemu_img_gives(bench: &Bench) {
    // Direct I/O in memory works in pages, to which qemu-img rounds the length up.
    let bench = &bench.on_disk();
    material(bench);
    for client in CLIENTS {
        for line in client.lines {
            same(bench, client.name, client.under, line);
        }
    }
}

/// The address spaces that callers leave us, down to the smallest.
fn limits_on_the_address_space_change_nothing(bench: &Bench) {
    material(bench);
    for line in [
        "info -f qcow2 --output=json image",
        "convert -f qcow2 -O raw image out",
        "convert -c -m 16 -W -O qcow2 image out",
        "convert -O vmdk -o subformat=streamOptimized -f qcow2 image out",
        "measure --output json -O qcow2 image",
    ] {
        let theirs = run(bench, "theirs", "env", line);
        theirs.succeeds();
        for room in [1 << 30, 1 << 29, 1 << 28] {
            let ours = run(bench, "ours", &format!("prlimit --as={room} --cpu=2"), line);
            assert_eq!(ours.succeeds().text(), theirs.text(), "{line} in {room} bytes");
            if let Some(target) = target(line) {
                same_image(bench, line, target, line);
            }
        }
    }
}
