//! The names that are trusted: layers in other directories that this machine wrote, the user records, or the configuration allows.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::device::Loop;
use instar_tests::ledger::deviates;
use instar_tests::{Bench, Outcome, Reference, both_sandboxes, disk};

use crate::layouts::attributes;

/// `a/base.qcow2`, a disk with data, and the directory `b`.
fn base(bench: &Bench) {
    for name in ["a", "b"] {
        fs::create_dir(bench.path(name)).unwrap();
    }
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "a/base.qcow2"]).succeeds();
}

fn overlay_of_theirs(bench: &Bench, name: &str, below: &str) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", below, "-F", "qcow2", name]).succeeds();
}

/// Every verb that reads a chain gives what qemu-img gives.
#[track_caller]
fn reads_alike(bench: &Bench, image: &str) {
    bench.instar(["convert", "-O", "raw", image, "ours"]).succeeds();
    bench.qemu(["convert", "-O", "raw", image, "theirs"]).succeeds();
    same_bytes(bench, "theirs", "ours", image);
    for words in [
        ["map", "--output=json", image].as_slice(),
        &["measure", "-O", "raw", "--output=json", image],
        &["check", "--output=json", image],
        &["info", "--output=json", "--backing-chain", image],
        &["compare", image, image],
    ] {
        let theirs = bench.qemu(words);
        assert_eq!(bench.instar(words).succeeds().text(), theirs.text(), "{words:?}");
    }
}

#[track_caller]
fn refuses(bench: &Bench, image: &str) {
    let refused = bench.instar(["convert", "-O", "raw", image, "stolen"]);
    for way in ["--allow-dir DIR", "instar trust", "/etc/instar.toml"] {
        refused.fails_with(way);
    }
    assert!(!bench.path("stolen").exists());
}

both_sandboxes!(
    a_layer_elsewhere_is_read_when_this_machine_made_the_image,
    a_copy_of_a_recorded_image_is_not_trusted,
    a_record_holds_for_its_user_alone,
    trust_shows_and_records_images_of_other_programs,
    an_image_whose_layer_is_missing_is_not_trusted,
    a_process_that_looks_at_a_layer_has_the_same_settings,
    names_from_images_are_escaped_in_what_trust_says,
    a_layer_above_an_image_of_ours_is_read_through_it,
    check_and_create_do_without_the_chain,
    create_and_convert_warn_of_layers_that_will_be_refused,
    links_beside_an_image_lead_to_what_a_rule_allows,
    dot_dot_after_a_link_means_what_the_kernel_says,
    layers_are_read_where_openat2_is_missing,
    names_with_colons_after_file_are_paths,
    extents_follow_the_rule_for_all_names,
    info_reads_no_file_but_the_image_and_its_own_pieces,
    block_devices_are_layers_where_they_are_allowed,
    the_environment_of_a_caller_with_fewer_rights_is_not_believed,
    the_rules_of_this_machine_are_shown,
);

fn a_layer_elsewhere_is_read_when_this_machine_made_the_image(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    base(bench);
    bench
        .instar(["create", "-q", "-f", "qcow2", "-b", "../a/base.qcow2", "-F", "qcow2", "b/over"])
        .succeeds();
    reads_alike(bench, "b/over");
    let absolute = bench.path("a/base.qcow2");
    let option = format!("backing_file=file:{},backing_fmt=qcow2", absolute.display());
    bench.instar(["create", "-q", "-f", "qcow2", "-o", &option, "b/absolute"]).succeeds();
    bench.instar(["convert", "-O", "raw", "b/absolute", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "an absolute name");
    // A chain, each layer of which has its own right.
    bench.instar(["create", "-q", "-f", "qcow2", "-b", "b/over", "-F", "qcow2", "top"]).succeeds();
    reads_alike(bench, "top");
    // What is written to the overlay by others changes nothing of that.
    instar_tests::variant::io(bench, "b/over", &["write -P 7 0 64k"]);
    reads_alike(bench, "top");
    bench
        .instar(["convert", "-O", "qcow2", "-B", "../a/base.qcow2", "-F", "qcow2", "b/over", "b/copy"])
        .succeeds();
    reads_alike(bench, "b/copy");
}

fn a_copy_of_a_recorded_image_is_not_trusted(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    base(bench);
    bench
        .instar(["create", "-q", "-f", "qcow2", "-b", "../a/base.qcow2", "-F", "qcow2", "b/over"])
        .succeeds();
    let shell = |line: &str| {
        let done = Command::new("sh").args(["-c", line]).current_dir(bench.directory()).output().unwrap();
        assert!(done.status.success(), "{line}: {done:?}");
    };
    shell("cp -a --preserve=xattr b/over b/copied && cp --reflink=auto b/over b/again");
    shell(
        "tar --xattrs --xattrs-include='*' -C b -cf t.tar over && mkdir b/sub a/sub && tar --xattrs --xattrs-include='*' -C b/sub -xf t.tar",
    );
    for copy in ["b/copied", "b/again"] {
        refuses(bench, copy);
    }
    shell("mv b/sub/over b/unpacked");
    refuses(bench, "b/unpacked");
    if Command::new("rsync").arg("--version").output().is_ok() {
        shell("rsync -aX b/over b/synced");
        refuses(bench, "b/synced");
    }
    // Another file under its name, with its attribute.
    shell("cp -a --preserve=xattr b/over new && mv new b/over");
    refuses(bench, "b/over");
    bench.qemu(["convert", "-O", "raw", "b/over", "theirs"]).succeeds();
}

fn a_record_holds_for_its_user_alone(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    base(bench);
    bench
        .instar(["create", "-q", "-f", "qcow2", "-b", "../a/base.qcow2", "-F", "qcow2", "b/over"])
        .succeeds();
    let key = bench.state().join("instar/trust.key");
    let mode = Command::new("stat").args(["-c", "%a %s"]).arg(&key).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&mode.stdout), "600 32\n");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Outcome::of(
        bench.command(["convert", "-O", "raw", "b/over", "stolen"]).env("XDG_STATE_HOME", elsewhere.path()),
    );
    other.fails_with("--allow-dir");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "reading makes no key");
    fs::remove_file(&key).unwrap();
    refuses(bench, "b/over");
}

fn trust_shows_and_records_images_of_other_programs(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    base(bench);
    overlay_of_theirs(bench, "b/over", "../a/base.qcow2");
    overlay_of_theirs(bench, "top", "b/over");
    let theirs = bench.qemu(["convert", "-O", "raw", "top", "theirs"]);
    let ours = bench.instar(["convert", "-O", "raw", "top", "ours"]);
    deviates("names-elsewhere", &theirs.code(), &ours.code());
    refuses(bench, "top");
    refuses(bench, "b/over");
    let shown = bench.instar(["trust", "--show", "top"]);
    assert_eq!(shown.code(), Some(1), "{shown}");
    let directory = bench.directory().canonicalize().unwrap();
    let directory = directory.display();
    assert_eq!(
        shown.text(),
        format!(
            "top (qcow2)\n    backing file: 'b/over', which is {directory}/b/over: elsewhere, not trusted yet\n\
                 {directory}/b/over (qcow2)\n    backing file: '../a/base.qcow2', which is {directory}/a/base.qcow2: elsewhere, not trusted yet\n\
                 {directory}/a/base.qcow2 (qcow2)\n"
        )
    );
    refuses(bench, "top");
    let trusted = bench.instar(["trust", "top"]);
    assert!(trusted.succeeds().text().ends_with("recorded\n"), "{trusted}");
    reads_alike(bench, "top");
    reads_alike(bench, "b/over");
    let shown = bench.instar(["trust", "--show", "-f", "qcow2", "top"]);
    assert!(shown.succeeds().text().contains(": recorded\n"), "{shown}");
    bench.instar(["trust", "--remove", "top"]).succeeds();
    refuses(bench, "top");
    reads_alike(bench, "b/over");
    bench.instar(["trust", "--untrusted", "absent"]).fails_with("No such file or directory");
}

fn an_image_whose_layer_is_missing_is_not_trusted(bench: &Bench) {
    Outcome::of(Reference::installed().program("qemu-img").current_dir(bench.directory()).args([
        "create",
        "-q",
        "-u",
        "-f",
        "qcow2",
        "-b",
        "../no/such",
        "-F",
        "raw",
        "over",
        "1M",
    ]))
    .succeeds();
    bench.instar(["trust", "over"]).fails_with("'../no/such': No such file or directory");
}

/// Another instance of ourselves looks at each layer. What this command line alone says holds for it too.
fn a_process_that_looks_at_a_layer_has_the_same_settings(bench: &Bench) {
    base(bench);
    overlay_of_theirs(bench, "b/over.qcow2", "../a/base.qcow2");
    bench
        .instar(["trust", "--timeout", "0.000001", "b/over.qcow2"])
        .fails_with("Timed out after 0.000001 seconds (--timeout)");
    fs::write(bench.path("strict.toml"), "require-kvm = true\n").unwrap();
    let words = ["trust", "--config", "strict.toml", "--sandbox", "process", "b/over.qcow2"];
    bench.instar(words).fails_with("require-kvm");
    let shown = bench.instar(["trust", "--show", "--max-size", "1G", "--timeout", "60", "b/over.qcow2"]);
    assert!(shown.text().contains("/a/base.qcow2 (qcow2)"), "{shown}");
}

fn names_from_images_are_escaped_in_what_trust_says(bench: &Bench) {
    let name = "x\u{1b}[31m\nrecorded";
    fs::write(bench.path(name), b"QFI\xfb\0\0\0\x09").unwrap();
    bench.qemu(["create", "-q", "-u", "-f", "qcow2", "-b", name, "-F", "qcow2", "over", "1M"]).succeeds();
    for action in [["trust", "over"].as_slice(), &["trust", "--show", "over"]] {
        let said = bench.instar(action);
        said.fails();
        assert!(!said.text().contains('\u{1b}') && !said.errors().contains('\u{1b}'), "{said}");
        assert_eq!(said.errors().lines().count(), 1, "{said}");
    }
}

fn a_layer_above_an_image_of_ours_is_read_through_it(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    base(bench);
    bench
        .instar(["create", "-q", "-f", "qcow2", "-b", "../a/base.qcow2", "-F", "qcow2", "b/disk"])
        .succeeds();
    // As a hypervisor makes its snapshots.
    overlay_of_theirs(bench, "b/disk.snapshot", "disk");
    reads_alike(bench, "b/disk.snapshot");
}

fn check_and_create_do_without_the_chain(bench: &Bench) {
    base(bench);
    overlay_of_theirs(bench, "b/over", "../a/base.qcow2");
    for words in [["check", "b/over"].as_slice(), &["check", "--output=json", "b/over"]] {
        assert_eq!(bench.instar(words).succeeds().text(), bench.qemu(words).text());
    }
    bench.instar(["check", "--untrusted", "b/over"]).succeeds();
    let words = ["create", "-f", "qcow2", "-b", "b/over", "-F", "qcow2", "top"];
    let theirs = bench.qemu(words);
    fs::remove_file(bench.path("top")).unwrap();
    let ours = bench.instar(words);
    assert_eq!((ours.code(), ours.text()), (Some(0), theirs.text()));
    assert_eq!(ours.errors().lines().count(), 1, "{ours}");
    assert!(ours.message().starts_with("warning: ") && ours.message().contains("../a/base.qcow2"), "{ours}");
    // Over an image that nobody trusts nothing is made.
    let refused =
        bench.instar(["create", "--untrusted", "-q", "-f", "qcow2", "-b", "b/over", "-F", "qcow2", "never"]);
    refused.fails_with("untrusted");
    assert!(!bench.path("never").exists());
}

fn create_and_convert_warn_of_layers_that_will_be_refused(bench: &Bench) {
    base(bench);
    let nowhere = Outcome::of(
        bench
            .command(["create", "-f", "qcow2", "-b", "../a/base.qcow2", "-F", "qcow2", "b/over"])
            .env("XDG_STATE_HOME", "/proc/no/such/place"),
    );
    assert_eq!(nowhere.code(), Some(0));
    assert_eq!(nowhere.errors().lines().count(), 1, "{nowhere}");
    assert!(nowhere.message().contains("allow-dir = ["), "{nowhere}");
    let allowed = Outcome::of(
        bench
            .command([
                "create",
                "-q",
                "--allow-dir",
                "a",
                "-f",
                "qcow2",
                "-b",
                "../a/base.qcow2",
                "-F",
                "qcow2",
                "b/over",
            ])
            .env("XDG_STATE_HOME", "/proc/no/such/place"),
    );
    allowed.succeeds();
    for (more, lines) in [([].as_slice(), 1), (&["--allow-dir", "a"], 0)] {
        let copy = ["convert", "-O", "qcow2", "-B", "../a/base.qcow2", "-F", "qcow2", "disk.raw", "b/copy"];
        let copied = Outcome::of(
            bench.command([copy.as_slice(), more].concat()).env("XDG_STATE_HOME", "/proc/no/such/place"),
        );
        assert_eq!(copied.code(), Some(0));
        assert_eq!(copied.errors().lines().count(), lines, "{copied}");
        assert_eq!(copied.message().contains("allow-dir = ["), lines > 0, "{copied}");
    }
}

fn links_beside_an_image_lead_to_what_a_rule_allows(bench: &Bench) {
    base(bench);
    fs::create_dir(bench.path("links")).unwrap();
    overlay_of_theirs(bench, "a/over", "base.qcow2");
    symlink("../a/over", bench.path("links/over")).unwrap();
    symlink("../a/base.qcow2", bench.path("links/base.qcow2")).unwrap();
    reads_alike(bench, "links/over");
    // A link to a directory that is allowed, by an absolute way.
    fs::create_dir(bench.path("i")).unwrap();
    symlink(bench.path("a/base.qcow2"), bench.path("i/base")).unwrap();
    overlay_of_theirs(bench, "i/over", "base");
    refuses(bench, "i/over");
    bench.instar(["convert", "--allow-dir", "a", "-O", "raw", "i/over", "ours"]).succeeds();
    bench.instar(["convert", "--allow-dir", "/", "-O", "raw", "i/over", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "a link to an allowed directory");
    // A name that takes another way to the image's own directory.
    symlink("a", bench.path("pool")).unwrap();
    let name = bench.path("pool/base.qcow2");
    overlay_of_theirs(bench, "a/roundabout", name.to_str().unwrap());
    bench.instar(["convert", "-O", "raw", "a/roundabout", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "a way over a link");
}

fn dot_dot_after_a_link_means_what_the_kernel_says(bench: &Bench) {
    for name in ["D", "E", "E/sub"] {
        fs::create_dir(bench.path(name)).unwrap();
    }
    symlink("../E/sub", bench.path("D/l")).unwrap();
    fs::write(bench.path("D/base"), vec![b'D'; 1 << 20]).unwrap();
    fs::write(bench.path("E/base"), vec![b'E'; 1 << 20]).unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "l/../base", "-F", "raw", "D/o"]).succeeds();
    refuses(bench, "D/o");
    bench.instar(["convert", "--allow-dir", "E", "-O", "raw", "D/o", "ours"]).succeeds();
    same_bytes(bench, "E/base", "ours", "the kernel's way");
}

fn layers_are_read_where_openat2_is_missing(bench: &Bench) {
    base(bench);
    overlay_of_theirs(bench, "a/over", "base.qcow2");
    fs::write(bench.path("secret"), b"s").unwrap();
    bench
        .qemu(["create", "-q", "-u", "-f", "qcow2", "-b", "../secret", "-F", "raw", "a/evil", "1M"])
        .succeeds();
    for feature in ["openat2", "openat2-allowed"] {
        let wrapper = [env!("CARGO_BIN_EXE_without"), "error", feature];
        Outcome::of(&mut bench.command_under(&wrapper, ["convert", "-O", "raw", "a/over", "ours"]))
            .succeeds();
        same_bytes(bench, "disk.raw", "ours", feature);
        Outcome::of(&mut bench.command_under(&wrapper, ["convert", "-O", "raw", "a/evil", "never"]))
            .fails_with("--allow-dir");
    }
}

fn names_with_colons_after_file_are_paths(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    fs::copy(bench.path("disk.raw"), bench.path("x:y")).unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "file:x:y", "-F", "raw", "over"]).succeeds();
    bench.instar(["convert", "-O", "raw", "over", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "file:x:y");
    bench
        .qemu(["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "./p:q.vmdk", "1M"])
        .succeeds();
    for words in [["info", "--output=json", "./p:q.vmdk"].as_slice(), &["map", "--output=json", "./p:q.vmdk"]]
    {
        assert_eq!(bench.instar(words).succeeds().text(), bench.qemu(words).text());
    }
}

fn extents_follow_the_rule_for_all_names(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let sectors = fs::metadata(bench.path("disk.raw")).unwrap().len() / 512;
    fs::create_dir(bench.path("sub")).unwrap();
    fs::copy(bench.path("disk.raw"), bench.path("sub/in-flat.vmdk")).unwrap();
    fs::copy(bench.path("disk.raw"), bench.path("x-flat.vmdk")).unwrap();
    let absolute = bench.path("x-flat.vmdk");
    for (name, allowed) in
        [("./x-flat.vmdk", true), (absolute.to_str().unwrap(), true), ("sub/in-flat.vmdk", false)]
    {
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW {sectors} FLAT \"{name}\" 0\n"
        );
        fs::write(bench.path("d.vmdk"), text).unwrap();
        if !allowed {
            let theirs = bench.qemu(["info", "d.vmdk"]);
            let ours = bench.instar(["info", "d.vmdk"]);
            ours.fails_with("--allow-dir");
            deviates("vmdk-extent-names", &theirs.code(), &ours.code());
        }
        bench.instar(["convert", "--allow-dir", "sub", "-O", "raw", "d.vmdk", "ours"]).succeeds();
        same_bytes(bench, "disk.raw", "ours", name);
    }
}

fn info_reads_no_file_but_the_image_and_its_own_pieces(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench
        .qemu([
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            "-o",
            "subformat=twoGbMaxExtentSparse",
            "disk.raw",
            "disk.vmdk",
        ])
        .succeeds();
    let words = ["info", "--output=json", "disk.vmdk"];
    assert_eq!(bench.instar(words).succeeds().text(), bench.qemu(words).text());
    // Under another name than its pieces'.
    fs::rename(bench.path("disk.vmdk"), bench.path("other.vmdk")).unwrap();
    let words = ["info", "other.vmdk"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    ours.fails_with("--allow-dir DIR");
    deviates("vmdk-info-pieces", &theirs.code(), &ours.code());
    let allowed = bench.instar(["info", "--allow-dir", ".", "other.vmdk"]);
    assert_eq!(allowed.succeeds().text(), theirs.text());
    bench.instar(["convert", "-O", "raw", "other.vmdk", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "a descriptor under another name");
}

fn block_devices_are_layers_where_they_are_allowed(bench: &Bench) {
    let Some(device) = Loop::of_size(bench, "volume", 40) else {
        return;
    };
    disk::usual(&bench.path("disk.raw"));
    Outcome::of(Reference::installed().program("qemu-img").current_dir(bench.directory()).args([
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "disk.raw",
        device.name(),
    ]))
    .succeeds();
    overlay_of_theirs(bench, "over", device.name());
    bench.instar(["convert", "-O", "raw", "over", "never"]).fails_with("--allow-dir");
    bench.instar(["convert", "--allow-dir", "/dev", "-O", "raw", "over", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "a device in an allowed directory");
    if attributes(bench) {
        bench.instar(["create", "-q", "-f", "qcow2", "-b", device.name(), "-F", "qcow2", "mine"]).succeeds();
        bench.instar(["convert", "-O", "raw", "mine", "ours"]).succeeds();
        same_bytes(bench, "disk.raw", "ours", "a device that the image was made with");
    }
}

fn the_environment_of_a_caller_with_fewer_rights_is_not_believed(bench: &Bench) {
    let Some(program) = crate::layouts::elevated(bench) else {
        return;
    };
    base(bench);
    overlay_of_theirs(bench, "b/over", "../a/base.qcow2");
    fs::create_dir_all(bench.path(".config/instar")).unwrap();
    fs::write(bench.path(".config/instar/config.toml"), "allow-dir = [\"/\"]\n").unwrap();
    // HOME counts for an ordinary program.
    bench.instar(["convert", "-O", "raw", "b/over", "ours"]).succeeds();
    let run = |home: bool| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
        command.args(["sandbox", "--output=json"]).current_dir(bench.directory()).env_clear();
        match home {
            true => command.env("HOME", bench.directory()),
            false => command.env("INSTAR_ALLOW_DIR", "/"),
        };
        let text = Outcome::of(&mut command).text();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["allowed-directories"].as_array().unwrap().len()
    };
    assert_eq!((run(true), run(false)), (0, 0));
}

fn the_rules_of_this_machine_are_shown(bench: &Bench) {
    let words = ["sandbox", "--allow-dir", "/tmp", "--untrusted-dir", "/var/tmp"];
    let text = bench.instar(words).text();
    for line in [
        "    beside the image",
        "    recorded by this machine (key: ",
        "    allowed: /tmp",
        "    untrusted: /var/tmp",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let text = bench.instar(["sandbox", "--untrusted"]).text();
    assert!(text.contains("files named by images: never opened"), "{text}");
}
