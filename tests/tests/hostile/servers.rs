//! D1: servers that speak NBD and lie.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use instar_tests::{Bench, both_sandboxes};

use crate::run;

both_sandboxes!(d1_a_server_that_lies_is_refused, d1_words_of_a_server_cannot_speak_for_us,);

/// What the server sends once the client has greeted it, whatever that asks for.
fn server(bench: &Bench, name: &str, says: Vec<u8>) -> (String, JoinHandle<()>) {
    let socket = bench.path(name);
    let listener = UnixListener::bind(&socket).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // The client may have had enough before all is said.
        let _ = stream.write_all(&says);
        drain(&mut stream);
    });
    (format!("nbd+unix:///disk?socket={}", socket.display()), thread)
}

/// Hears what comes until nothing more does.
fn drain(stream: &mut UnixStream) {
    let mut heard = [0; 4096];
    while stream.read(&mut heard).is_ok_and(|count| count > 0) {}
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let head = [0x0003_e889_u32, 0x0455_65a9, option, kind, data.len() as u32];
    [&head.map(u32::to_be_bytes).concat()[..], data].concat()
}

/// A sound handshake for a disk of `size` bytes, with structured replies and without block status.
fn handshake(size: u64) -> Vec<u8> {
    let export = [&[0, 0][..], &size.to_be_bytes(), &[0, 1]].concat();
    [
        b"NBDMAGICIHAVEOPT\0\x03".to_vec(),
        reply(8, 1, b""),
        reply(10, 1, b""),
        reply(7, 3, &export),
        reply(7, 1, b""),
    ]
    .concat()
}

fn chunk(cookie: u64, done: bool, kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let head = [
        &0x668e_33ef_u32.to_be_bytes()[..],
        &u16::from(done).to_be_bytes(),
        &kind.to_be_bytes(),
        &cookie.to_be_bytes(),
        &length.to_be_bytes(),
    ];
    [&head.concat()[..], payload].concat()
}

fn d1_a_server_that_lies_is_refused(bench: &Bench) {
    let data = |offset: u64, bytes: usize| [&offset.to_be_bytes()[..], &vec![7; bytes]].concat();
    let after = |answers: Vec<u8>| [handshake(1 << 20), answers].concat();
    let huge_chunk = [
        &0x668e_33ef_u32.to_be_bytes()[..],
        &[0, 1, 0, 1],
        &1_u64.to_be_bytes(),
        &u32::MAX.to_be_bytes(),
        &0_u64.to_be_bytes(),
    ]
    .concat();
    for (number, (says, words)) in [
        (b"HTTP/1.1 400 Bad Request".to_vec(), "does not speak NBD"),
        (b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53xx".to_vec(), "oldest form"),
        (handshake(1 << 63), "more than a disk can have"),
        (
            [b"NBDMAGICIHAVEOPT\0\x03".to_vec(), reply(8, 1, b""), reply(10, 4, b"\0\0\0\x01x").repeat(1000)]
                .concat(),
            "more than 64 times",
        ),
        ([b"NBDMAGICIHAVEOPT\0\x03".to_vec(), reply(8, 1, &[0; 70_000])].concat(), "the limit is 65536"),
        ([b"NBDMAGICIHAVEOPT\0\x03".to_vec(), reply(8, 0x8000_0005, b"tls")].concat(), "requires TLS"),
        (after(chunk(99, true, 1, &data(0, 512))), "a request that was not made"),
        (after(chunk(1, true, 1, &data(1 << 40, 512))), "other bytes than those"),
        (after(chunk(1, false, 1, &data(0, 512)).repeat(2)), "twice for the same"),
        (after(chunk(1, true, 1, &data(0, 512))), "before all of its data"),
        (after(huge_chunk), "other bytes than those"),
        (after(b"what is this, and why does it not end?".to_vec()), "is no reply"),
        (after(chunk(1, false, 0x8001, b"\0\0\0\x05\0\0").repeat(9000)), "more chunks"),
    ]
    .into_iter()
    .enumerate()
    {
        let (url, thread) = server(bench, &format!("s{number}"), says);
        let outcome = run(bench, &["convert", "-f", "raw", "-O", "raw", &url, "stolen"]);
        outcome.fails_with(words);
        assert!(!bench.path("stolen").exists(), "{words}");
        thread.join().unwrap();
    }
}

fn d1_words_of_a_server_cannot_speak_for_us(bench: &Bench) {
    let says = [
        b"NBDMAGICIHAVEOPT\0\x03".to_vec(),
        reply(8, 0x8000_0001, b""),
        reply(7, 0x8000_0006, b"no\x1b[2J\ninstar: all is well"),
    ];
    let (url, thread) = server(bench, "socket", says.concat());
    let outcome = run(bench, &["info", &url]);
    outcome.fails_with("\\x1b[2J");
    assert!(!outcome.errors().contains('\x1b'));
    assert_eq!(outcome.errors().lines().count(), 1, "{}", outcome.errors());
    thread.join().unwrap();
}
