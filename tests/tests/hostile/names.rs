//! A1, A2, A4 to A7, B1, C5: images that name files of others.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::craft::{Crafted, field};
use instar_tests::disk;
use instar_tests::{Bench, both_sandboxes};

use crate::{refused, run};

const SECRET: &[u8] = b"nobody may read this\n";

/// An image in a directory of its own, and a secret outside.
fn image(bench: &Bench) -> Crafted {
    fs::create_dir(bench.path("in")).unwrap();
    let mut secret = SECRET.repeat(100);
    secret.resize(8192, b'.');
    fs::write(bench.path("secret"), secret).unwrap();
    Crafted::image(bench, "in/image", "1M", "", 0)
}

/// Nothing that instar wrote holds the secret.
fn nothing_leaked(bench: &Bench) {
    for name in bench.names().iter().filter(|name| *name != "secret" && *name != "in") {
        let bytes = fs::read(bench.path(name)).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET), "{name} holds the secret");
    }
}

/// `info` shows the name and opens nothing.
#[track_caller]
fn shown_by_info(bench: &Bench, image: &str) {
    for words in [["info", image].as_slice(), &["info", "--output=json", image]] {
        let theirs = bench.qemu(words);
        let ours = run(bench, words);
        assert_eq!(theirs.text(), ours.succeeds().text());
    }
}

both_sandboxes!(
    a1_a_backing_file_outside_the_directory_is_refused,
    a1_what_lies_below_the_image_or_is_hidden_is_refused,
    a1_an_image_in_the_root_directory_has_no_siblings,
    a1_kernel_filesystems_are_opened_by_no_rule,
    a1_nothing_at_all_is_opened_for_an_untrusted_image,
    a2_a_data_file_outside_the_directory_is_refused,
    a2_a_data_file_beside_an_untrusted_image_is_refused,
    a2_a_data_file_is_named_by_bit_and_extension_or_not_at_all,
    a4_names_that_are_block_layer_trees_or_urls_are_refused,
    a5_a_backing_file_on_a_server_is_refused_without_a_connection,
    a6_only_regular_files_are_opened,
    a7_a_raw_disk_with_a_qcow2_header_in_it_stays_raw_when_told_so,
    b1_a_format_that_is_given_is_never_guessed,
    b1_a_backing_format_that_is_given_is_never_guessed,
    c5_a_loop_of_backing_files_is_refused,
    c5_a_chain_of_two_thousand_is_refused,
);

fn a1_a_backing_file_outside_the_directory_is_refused(bench: &Bench) {
    let image = image(bench);
    let absolute = bench.path("secret");
    for name in [
        "/etc/passwd",
        "../secret",
        "../in/../secret",
        absolute.to_str().unwrap(),
        "/proc/self/environ",
        "file:../secret",
    ] {
        image.backing(name.as_bytes());
        refused(bench, "in/image", "--allow-dir");
        if !name.starts_with("file:") {
            shown_by_info(bench, "in/image");
        }
    }
    nothing_leaked(bench);
}

fn a1_what_lies_below_the_image_or_is_hidden_is_refused(bench: &Bench) {
    let image = image(bench);
    let secret = bench.path("secret");
    fs::create_dir_all(bench.path("in/.ssh")).unwrap();
    fs::create_dir_all(bench.path("in/etc")).unwrap();
    for name in ["in/.ssh/key", "in/etc/passwd", "in/.hidden"] {
        fs::copy(&secret, bench.path(name)).unwrap();
    }
    symlink(".hidden", bench.path("in/shown")).unwrap();
    symlink("etc/passwd", bench.path("in/link")).unwrap();
    for name in [".ssh/key", "etc/passwd", ".hidden", "shown", "link", "./etc/../etc/passwd"] {
        image.backing(name.as_bytes());
        refused(bench, "in/image", "the image names");
    }
    nothing_leaked(bench);
    // The same files, in directories that the user allows.
    image.backing(b"etc/passwd");
    run(bench, &["convert", "--allow-dir", "in/etc", "-f", "qcow2", "-O", "raw", "in/image", "read"])
        .succeeds();
    fs::remove_file(bench.path("read")).unwrap();
}

fn a1_an_image_in_the_root_directory_has_no_siblings(bench: &Bench) {
    let name = format!("/instar-test-{}-{}", std::process::id(), bench.sandbox().name());
    let secret = format!("{name}-sibling");
    Crafted::image(bench, "image", "1M", "", 0).backing(secret.trim_start_matches('/').as_bytes());
    if fs::copy(bench.path("image"), &name).is_err() || fs::write(&secret, vec![b's'; 4096]).is_err() {
        return instar_tests::ledger::skip("only root can make files in the root directory");
    }
    let outcome = run(bench, &["convert", "-f", "qcow2", "-O", "raw", &name, "stolen"]);
    let allowed = run(bench, &["convert", "--allow-dir", "/", "-f", "qcow2", "-O", "raw", &name, "read"]);
    fs::remove_file(&name).unwrap();
    fs::remove_file(&secret).unwrap();
    outcome.fails_with("--allow-dir");
    allowed.succeeds();
    assert!(!bench.path("stolen").exists());
}

fn a1_kernel_filesystems_are_opened_by_no_rule(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 0);
    for name in [
        "/proc/self/maps",
        "/proc/self/root/etc/passwd",
        "/sys/kernel/vmcoreinfo",
        "/proc/cpuinfo",
        "/dev/zero",
        "/dev/kmsg",
    ] {
        image.backing(name.as_bytes());
        run(bench, &["convert", "--allow-dir", "/", "-O", "raw", "image", "stolen"])
            .fails_with("the image names");
        assert!(!bench.path("stolen").exists(), "{name}");
    }
}

fn a1_nothing_at_all_is_opened_for_an_untrusted_image(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 0);
    disk::usual(&bench.path("sibling"));
    image.backing(b"sibling");
    run(bench, &["convert", "--untrusted", "-O", "raw", "image", "stolen"]).fails_with("--untrusted");
    run(bench, &["dd", "--untrusted", "if=image", "of=stolen"]).fails_with("--untrusted");
    assert!(!bench.path("stolen").exists());
    run(bench, &["info", "--untrusted", "image"]).succeeds();
}

fn a2_a_data_file_outside_the_directory_is_refused(bench: &Bench) {
    let image = image(bench);
    let absolute = bench.path("secret");
    for name in ["/etc/passwd", "../secret", absolute.to_str().unwrap()] {
        image.data_file(name.as_bytes());
        refused(bench, "in/image", "--allow-dir");
        shown_by_info(bench, "in/image");
    }
    nothing_leaked(bench);
}

fn a2_a_data_file_beside_an_untrusted_image_is_refused(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=sibling", "image", "1M"]).succeeds();
    run(bench, &["convert", "--untrusted", "-O", "raw", "image", "stolen"]).fails_with("--untrusted");
    assert!(!bench.path("stolen").exists());
}

fn a2_a_data_file_is_named_by_bit_and_extension_or_not_at_all(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 4096);
    image.u64(field::INCOMPATIBLE_FEATURES, 4);
    run(bench, &["convert", "-O", "raw", "image", "stolen"]).fails();
    assert!(!bench.path("stolen").exists());
}

fn a4_names_that_are_block_layer_trees_or_urls_are_refused(bench: &Bench) {
    let image = image(bench);
    for name in [
        r#"json:{"driver":"raw","file":{"driver":"file","filename":"../secret"}}"#,
        r#"json:{"driver":"qcow2","file":{"driver":"nbd","host":"127.0.0.1","port":"1"}}"#,
        r#"json:{"driver":"raw","file":{"driver":"host_device","filename":"/dev/null"}}"#,
        r#"json:{"file.filename":"/etc/passwd"}"#,
        r#"json:{"driver":"null-co","size":1048576}"#,
        "json:{",
        "json:",
        "fat:rw:/etc",
        "blkdebug::../secret",
        "nbd+unix:///x?socket=../secret",
    ] {
        image.backing(name.as_bytes());
        refused(bench, "in/image", "the image names");
        run(bench, &["info", "in/image"]).succeeds();
        image.u64(field::BACKING_FILE_OFFSET, 0).u32(field::BACKING_FILE_SIZE, 0);
        image.data_file(name.as_bytes());
        refused(bench, "in/image", "the image names");
        run(bench, &["info", "in/image"]).succeeds();
        image.u64(field::INCOMPATIBLE_FEATURES, 0).u64(112, 0);
    }
    nothing_leaked(bench);
}

fn a5_a_backing_file_on_a_server_is_refused_without_a_connection(bench: &Bench) {
    let image = image(bench);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for protocol in ["nbd", "http", "https", "ssh", "iscsi", "rbd", "nfs", "gluster"] {
        image.backing(format!("{protocol}://127.0.0.1:{port}/secret").as_bytes());
        refused(bench, "in/image", "the image names");
    }
    assert!(listener.accept().is_err(), "somebody connected");
}

fn a6_only_regular_files_are_opened(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 0);
    assert!(Command::new("mkfifo").arg(bench.path("fifo")).status().unwrap().success());
    fs::create_dir(bench.path("directory")).unwrap();
    symlink("/etc/passwd", bench.path("link-out")).unwrap();
    symlink("/", bench.path("root")).unwrap();
    symlink("/dev/zero", bench.path("device")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap();
    for name in [
        "fifo",
        "directory",
        "link-out",
        "root/etc/passwd",
        "device",
        "socket",
        "/dev/zero",
        "/proc/self/fd/0",
        "/dev/fd/3",
        "absent",
        "",
    ] {
        image.backing(name.as_bytes());
        if name.is_empty() {
            // A name of no bytes at an offset names nothing.
            run(bench, &["convert", "-O", "raw", "image", "stolen"]);
            let _ = fs::remove_file(bench.path("stolen"));
            continue;
        }
        for words in
            [["convert", "-O", "raw", "image", "stolen"].as_slice(), &["dd", "if=image", "of=stolen"]]
        {
            run(bench, words).fails();
            assert!(!bench.path("stolen").exists(), "{name}");
        }
    }
}

fn a7_a_raw_disk_with_a_qcow2_header_in_it_stays_raw_when_told_so(bench: &Bench) {
    let crafted = Crafted::image(bench, "image", "1M", "", 4096);
    crafted.backing(b"/etc/passwd");
    run(bench, &["convert", "-f", "raw", "-O", "raw", "image", "out"]).succeeds();
    same_bytes(bench, "image", "out", "a raw disk");
    run(bench, &["convert", "-f", "raw", "-O", "qcow2", "image", "out"]).succeeds();
    instar_tests::compare::qemu_reads(bench, "out", "image", "a raw disk");
    refused(bench, "image", "--allow-dir");
}

fn b1_a_format_that_is_given_is_never_guessed(bench: &Bench) {
    Crafted::image(bench, "image", "1M", "", 65536).backing(b"/etc/passwd");
    let info = run(bench, &["info", "-f", "raw", "--output=json", "image"]);
    let value: serde_json::Value = serde_json::from_slice(&info.succeeds().stdout).unwrap();
    assert_eq!(value["format"], "raw");
    assert_eq!(value["virtual-size"].as_u64().unwrap() % 512, 0);
    run(bench, &["dd", "-f", "raw", "if=image", "of=out", "bs=512", "count=1"]).succeeds();
    assert_eq!(&fs::read(bench.path("out")).unwrap()[..4], b"QFI\xfb");
    disk::usual(&bench.path("disk.raw"));
    run(bench, &["convert", "-f", "qcow2", "-O", "raw", "disk.raw", "no"])
        .fails_with("Image is not in qcow2 format");
}

fn b1_a_backing_format_that_is_given_is_never_guessed(bench: &Bench) {
    Crafted::image(bench, "below", "1M", "", 65536).backing(b"/etc/passwd");
    bench
        .qemu(["create", "-q", "-f", "qcow2", "-u", "-b", "below", "-F", "raw", "image", "196608"])
        .succeeds();
    run(bench, &["convert", "-O", "raw", "image", "ours"]).succeeds();
    bench.qemu(["convert", "-O", "raw", "image", "theirs"]).succeeds();
    same_bytes(bench, "theirs", "ours", "raw below");
}

fn c5_a_loop_of_backing_files_is_refused(bench: &Bench) {
    for (name, below) in [("one", "two"), ("two", "three"), ("three", "one"), ("self", "self")] {
        Crafted::image(bench, name, "1M", "", 0).backing(below.as_bytes());
    }
    fs::hard_link(bench.path("one"), bench.path("alias")).unwrap();
    for name in ["one", "self", "alias"] {
        refused(bench, name, "infinite loop");
        run(bench, &["info", name]).succeeds();
        run(bench, &["info", "--backing-chain", name]).fails_with("infinite loop");
    }
}

fn c5_a_chain_of_two_thousand_is_refused(bench: &Bench) {
    Crafted::image(bench, "layer0", "1M", "", 4096);
    Crafted::image(bench, "layer", "1M", "", 0)
        .extensions(&[(instar_tests::craft::EXTENSION_BACKING_FORMAT, b"qcow2")]);
    for number in 1..=2000 {
        let name = format!("layer{number}");
        fs::copy(bench.path("layer"), bench.path(&name)).unwrap();
        Crafted::open(&bench.path(&name)).backing(format!("layer{}", number - 1).as_bytes());
    }
    refused(bench, "layer2000", "--max-chain");
    run(bench, &["info", "layer2000"]).succeeds();
    run(bench, &["info", "--backing-chain", "layer2000"]).fails();
    run(bench, &["convert", "--max-chain", "5", "-O", "raw", "layer9", "stolen"]).fails_with("--max-chain");
    run(bench, &["convert", "-O", "raw", "layer20", "out"]).succeeds();
    bench.qemu(["convert", "-O", "raw", "layer20", "theirs"]).succeeds();
    same_bytes(bench, "theirs", "out", "a chain of 20");
}
