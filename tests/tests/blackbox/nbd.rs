//! Disks behind servers that speak NBD, beside qemu-img on the same server.

use std::fs;

use instar_tests::compare::{same_bytes, same_outcome};
use instar_tests::disk::{self, Piece};
use instar_tests::server::Server;
use instar_tests::{Bench, both_sandboxes};

both_sandboxes!(
    a_disk_behind_a_server_is_described_and_read_as_by_the_reference,
    an_image_behind_a_server_is_read_as_by_the_reference,
    servers_are_named_in_every_form,
    nbdkit_serves_over_a_socket_and_a_port,
    servers_with_large_blocks_are_read_and_written,
    a_server_that_replies_simply_is_read,
    an_existing_disk_behind_a_server_is_written,
    a_new_image_is_made_behind_a_server,
    what_cannot_be_done_behind_a_server_is_refused,
    what_does_not_answer_ends_with_the_time,
);

/// A disk with data, zeros and holes.
fn make(bench: &Bench, name: &str) {
    let pieces = [
        Piece::Data(0, 3 << 20, 1),
        Piece::Data(9 << 20, 70_000, 2),
        Piece::Data((32 << 20) - 4096, 4096, 3),
    ];
    disk::make(&bench.path(name), 32 << 20, &pieces);
}

fn a_disk_behind_a_server_is_described_and_read_as_by_the_reference(bench: &Bench) {
    make(bench, "disk.raw");
    for format in ["raw", "qcow2"] {
        bench.qemu(["convert", "-f", "raw", "-O", format, "disk.raw", format]).succeeds();
        let server = Server::of_qemu(bench, format, format, &["-r"]);
        let url = server.url.as_str();
        for words in [
            vec!["info", url],
            vec!["info", "--output=json", url],
            vec!["info", "-f", "nbd", "--output=json", url],
            vec!["map", url],
            vec!["map", "--output=json", "-f", "raw", url],
            vec!["measure", "-O", "qcow2", url],
            vec!["compare", "-f", "raw", "-F", "raw", url, "disk.raw"],
        ] {
            same_outcome(bench, &words, format).succeeds();
        }
        for target in ["raw", "qcow2", "vhdx"] {
            bench.instar(["convert", "-f", "raw", "-O", target, url, "ours"]).succeeds();
            let same = ["compare", "-f", target, "-F", "raw", "ours", "disk.raw"];
            bench.qemu(same).succeeds();
        }
        for window in ["bs=1000 skip=70 count=7900", "bs=1M skip=31", "bs=512 count=1"] {
            let line = format!("dd -f raw if={url} {window}");
            let words = |of: &'static str| line.split(' ').map(str::to_owned).chain([of.to_owned()]);
            bench.qemu(words("of=their-window")).succeeds();
            bench.instar(words("of=our-window")).succeeds();
            same_bytes(bench, "their-window", "our-window", window);
        }
        let digest = |name| {
            let text = bench.instar(["checksum", name]).succeeds().text().to_owned();
            text.split(' ').next().unwrap().to_owned()
        };
        assert_eq!(digest(url), digest("disk.raw"));
    }
}

fn an_image_behind_a_server_is_read_as_by_the_reference(bench: &Bench) {
    make(bench, "disk.raw");
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "image"]).succeeds();
    let server = Server::of_qemu(bench, "raw", "image", &["-r"]);
    let socket = server.socket.display();
    let tree = format!(
        "driver=qcow2,file.driver=nbd,file.server.type=unix,file.server.path={socket},file.export=disk"
    );
    for words in [
        vec!["info", &server.url],
        vec!["info", "--output=json", &server.url],
        vec!["info", "--image-opts", &tree],
        vec!["check", &server.url],
        vec!["map", "--output=json", &server.url],
        vec!["snapshot", "-l", &server.url],
        vec!["compare", "--image-opts", &tree, "driver=raw,file.filename=disk.raw"],
    ] {
        same_outcome(bench, &words, "qcow2").succeeds();
    }
    for words in [
        ["convert", "-O", "raw", &server.url, "ours"].as_slice(),
        &["convert", "--image-opts", "-O", "raw", &tree, "ours"],
    ] {
        bench.instar(words).succeeds();
        same_bytes(bench, "disk.raw", "ours", "an image");
    }
}

fn servers_are_named_in_every_form(bench: &Bench) {
    make(bench, "disk.raw");
    let server = Server::of_qemu(bench, "raw", "disk.raw", &["-r"]);
    let socket = server.socket.display();
    for name in [
        format!("nbd+unix:///disk?socket={socket}"),
        format!("nbd:unix:{socket}:exportname=disk"),
        format!(
            "json:{{\"driver\":\"nbd\",\"server\":{{\"type\":\"unix\",\"path\":\"{socket}\"}},\"export\":\"disk\"}}"
        ),
        format!(
            "json:{{\"driver\":\"raw\",\"file\":{{\"driver\":\"nbd\",\"path\":\"{socket}\",\"export\":\"disk\"}}}}"
        ),
    ] {
        same_outcome(bench, &["info", &name], &name).succeeds();
        same_outcome(bench, &["info", "--output=json", &name], &name).succeeds();
    }
    for tree in [
        format!("driver=nbd,server.type=unix,server.path={socket},export=disk"),
        format!("driver=nbd,path={socket},export=disk"),
        format!("driver=raw,file.driver=nbd,file.path={socket},file.export=disk"),
        format!(
            "driver=raw,offset=512,size=1M,file.driver=nbd,file.server.type=unix,file.server.path={socket},file.export=disk"
        ),
    ] {
        same_outcome(bench, &["info", "--image-opts", &tree], &tree).succeeds();
        same_outcome(bench, &["map", "--output=json", "--image-opts", &tree], &tree).succeeds();
    }
    for name in [
        "nbd://127.0.0.1:1/disk".to_owned(),
        "nbd:127.0.0.1:1:exportname=disk".to_owned(),
        format!("nbd+unix:///disk?socket={}", bench.path("none").display()),
    ] {
        let words = ["info", name.as_str()];
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(theirs.message(), ours.fails().message(), "{name}");
    }
    let other = format!("nbd+unix:///other?socket={socket}");
    let refused = bench.instar(["info", &other]);
    let message = refused.fails_with("Requested export not available").message();
    assert!(message.contains("export 'other' not present"), "{message}");
}

fn nbdkit_serves_over_a_socket_and_a_port(bench: &Bench) {
    make(bench, "disk.raw");
    let servers = [
        Server::of_nbdkit(bench, &["file", "disk.raw"]),
        Server::of_nbdkit_on_a_port(bench, &["file", "disk.raw"]),
    ];
    for server in servers.into_iter().flatten() {
        same_outcome(bench, &["info", "--output=json", &server.url], "nbdkit").succeeds();
        bench.instar(["convert", "-O", "raw", &server.url, "ours"]).succeeds();
        same_bytes(bench, "disk.raw", "ours", "nbdkit");
    }
}

/// A server that takes blocks of 4 KiB only, and no more than 64 KiB at once: what the guest asks for is widened and cut up.
fn servers_with_large_blocks_are_read_and_written(bench: &Bench) {
    make(bench, "disk.raw");
    fs::write(bench.path("copy.raw"), vec![0xee; 32 << 20]).unwrap();
    let words = |file| {
        [
            "--filter=blocksize-policy",
            "file",
            file,
            "blocksize-minimum=4096",
            "blocksize-preferred=4096",
            "blocksize-maximum=65536",
            "blocksize-error-policy=error",
        ]
    };
    let Some(server) = Server::of_nbdkit(bench, &words("disk.raw")) else {
        return;
    };
    bench.instar(["convert", "-f", "raw", "-O", "raw", &server.url, "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "read");
    bench
        .instar([
            "dd",
            "-f",
            "raw",
            "bs=1000",
            "skip=3",
            "count=4000",
            &format!("if={}", server.url),
            "of=our-window",
        ])
        .succeeds();
    bench
        .qemu(["dd", "-f", "raw", "bs=1000", "skip=3", "count=4000", "if=disk.raw", "of=their-window"])
        .succeeds();
    same_bytes(bench, "their-window", "our-window", "read");
    drop(server);
    let server = Server::of_nbdkit(bench, &words("copy.raw")).unwrap();
    bench.instar(["convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", &server.url]).succeeds();
    drop(server);
    same_bytes(bench, "disk.raw", "copy.raw", "written");
}

/// Neither structured replies nor block status.
fn a_server_that_replies_simply_is_read(bench: &Bench) {
    make(bench, "disk.raw");
    let Some(server) = Server::of_nbdkit(bench, &["--no-sr", "file", "disk.raw"]) else {
        return;
    };
    same_outcome(bench, &["map", "--output=json", &server.url], "simple replies").succeeds();
    bench.instar(["convert", "-f", "raw", "-O", "raw", &server.url, "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "simple replies");
}

fn an_existing_disk_behind_a_server_is_written(bench: &Bench) {
    make(bench, "disk.raw");
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "packed"]).succeeds();
    for (format, source) in [("raw", "disk.raw"), ("qcow2", "packed")] {
        fs::write(bench.path("target.raw"), vec![0xee; 32 << 20]).unwrap();
        let server = Server::of_qemu(bench, "raw", "target.raw", &[]);
        bench.instar(["convert", "-n", "-f", format, "-O", "raw", source, &server.url]).succeeds();
        drop(server);
        same_bytes(bench, "disk.raw", "target.raw", format);
    }
    // From one server to another.
    fs::write(bench.path("target.raw"), vec![0xee; 32 << 20]).unwrap();
    let (from, to) = (
        Server::of_qemu(bench, "raw", "disk.raw", &["-r"]),
        Server::of_qemu(bench, "raw", "target.raw", &[]),
    );
    bench.instar(["convert", "-n", "-f", "raw", "-O", "raw", &from.url, &to.url]).succeeds();
    drop((from, to));
    same_bytes(bench, "disk.raw", "target.raw", "from server to server");
}

fn a_new_image_is_made_behind_a_server(bench: &Bench) {
    make(bench, "disk.raw");
    for format in ["raw", "qcow2"] {
        disk::make(&bench.path("target"), 40 << 20, &[]);
        let server = Server::of_qemu(bench, "raw", "target", &[]);
        bench.instar(["convert", "-f", "raw", "-O", format, "disk.raw", &server.url]).succeeds();
        drop(server);
        bench.qemu(["compare", "-f", format, "-F", "raw", "target", "disk.raw"]).succeeds();
    }
    fs::write(bench.path("target"), vec![0xee; 40 << 20]).unwrap();
    let server = Server::of_qemu(bench, "raw", "target", &[]);
    bench
        .instar([
            "dd",
            "-f",
            "raw",
            "-O",
            "raw",
            "bs=1M",
            "count=4",
            "if=disk.raw",
            &format!("of={}", server.url),
        ])
        .succeeds();
    drop(server);
    let (written, source) =
        (fs::read(bench.path("target")).unwrap(), fs::read(bench.path("disk.raw")).unwrap());
    assert!(written[..4 << 20] == source[..4 << 20]);
    assert!(written[4 << 20..].iter().all(|byte| *byte == 0xee), "more than the window was written");
}

fn what_cannot_be_done_behind_a_server_is_refused(bench: &Bench) {
    make(bench, "disk.raw");
    let server = Server::of_qemu(bench, "raw", "disk.raw", &["-r"]);
    let url = server.url.as_str();
    bench
        .instar(["convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", url])
        .fails_with("Could not open image: Permission denied (the server exports the disk for reading only)");
    for words in [
        ["resize", "-f", "raw", url, "64M"].as_slice(),
        &["rebase", "-f", "qcow2", "-b", "", url],
        &["amend", "-f", "qcow2", "-o", "compat=1.1", url],
    ] {
        bench.instar(words).fails_with("but not changed in place");
    }
    bench.instar(["info", "nbds://127.0.0.1:1/disk"]).fails_with("does not speak TLS");
    bench
        .instar(["create", "-f", "qcow2", "-b", url, "-F", "raw", "overlay"])
        .fails_with("an image of its own only");
    drop(server);
    disk::make(&bench.path("small.raw"), 1 << 20, &[]);
    let server = Server::of_qemu(bench, "raw", "small.raw", &[]);
    let words = ["convert", "-n", "-f", "raw", "-O", "raw", "disk.raw", &server.url];
    bench.instar(words).fails_with("output file is smaller than input file");
}

/// A server that accepts connections and says nothing: the deadline ends the run, and so does a signal.
fn what_does_not_answer_ends_with_the_time(bench: &Bench) {
    let socket = bench.path("mute.socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let url = format!("nbd+unix:///disk?socket={}", socket.display());
    let start = std::time::Instant::now();
    bench
        .instar(["convert", "--timeout", "0.5", "-O", "raw", &url, "out"])
        .fails_with("Timed out after 0.5 seconds");
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
    assert!(!bench.path("out").exists());
}
