//! The client beside a server that is a list of bytes: what it sends, and what it makes of any answer.

use std::vec;
use std::vec::Vec;

use instar_disk::{Fault, FaultCode, Result, fault};

use crate::raw::{answer, chunk, hello, info, option, transmission};
use crate::{Connection, Read, Wire};

/// Bytes that the server says, a few at a time, and those that it heard.
struct Script {
    says: Vec<u8>,
    at: usize,
    step: usize,
    heard: Vec<u8>,
}

impl Script {
    fn new(parts: &[Vec<u8>]) -> Self {
        Self {
            says: parts.concat(),
            at: 0,
            step: usize::MAX,
            heard: Vec::new(),
        }
    }
}

impl Wire for Script {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.heard.extend_from_slice(bytes);
        Ok(())
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<usize> {
        let rest = &self.says[self.at..];
        let count = rest.len().min(into.len()).min(self.step);
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

fn greeting(flags: u16) -> Vec<u8> {
    [&b"NBDMAGICIHAVEOPT"[..], &flags.to_be_bytes()].concat()
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    [
        &0x0003_e889_0455_65a9_u64.to_be_bytes()[..],
        &option.to_be_bytes(),
        &kind.to_be_bytes(),
        &u32::try_from(data.len()).unwrap().to_be_bytes(),
        data,
    ]
    .concat()
}

fn export(size: u64, flags: u16) -> Vec<u8> {
    [
        &info::EXPORT.to_be_bytes()[..],
        &size.to_be_bytes(),
        &flags.to_be_bytes(),
    ]
    .concat()
}

fn blocks(minimum: u32, maximum: u32) -> Vec<u8> {
    [
        &info::BLOCK_SIZE.to_be_bytes()[..],
        &minimum.to_be_bytes(),
        &minimum.to_be_bytes(),
        &maximum.to_be_bytes(),
    ]
    .concat()
}

fn context() -> Vec<u8> {
    [
        reply(
            option::SET_META_CONTEXT,
            answer::META_CONTEXT,
            b"\0\0\0\x07base:allocation",
        ),
        reply(option::SET_META_CONTEXT, answer::ACK, b""),
    ]
    .concat()
}

/// A whole handshake with structured replies, for a disk of `size` bytes.
fn modern(size: u64, sizes: &[u8]) -> Vec<u8> {
    let blocks = if sizes.is_empty() {
        Vec::new()
    } else {
        reply(option::GO, answer::INFO, sizes)
    };
    [
        greeting(hello::FIXED_NEWSTYLE | hello::NO_ZEROES),
        reply(option::STRUCTURED_REPLY, answer::ACK, b""),
        context(),
        reply(option::GO, answer::INFO, &export(size, 1)),
        blocks,
        reply(option::GO, answer::ACK, b""),
    ]
    .concat()
}

/// One without.
fn simple(size: u64, flags: u16) -> Vec<u8> {
    [
        greeting(hello::FIXED_NEWSTYLE | hello::NO_ZEROES),
        reply(option::STRUCTURED_REPLY, answer::UNSUPPORTED, b""),
        reply(option::GO, answer::INFO, &export(size, flags)),
        reply(option::GO, answer::ACK, b""),
    ]
    .concat()
}

fn piece(cookie: u64, done: bool, kind: u16, payload: &[u8]) -> Vec<u8> {
    [
        &0x668e_33ef_u32.to_be_bytes()[..],
        &u16::from(done).to_be_bytes(),
        &kind.to_be_bytes(),
        &cookie.to_be_bytes(),
        &u32::try_from(payload.len()).unwrap().to_be_bytes(),
        payload,
    ]
    .concat()
}

fn data(cookie: u64, done: bool, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let payload = [&offset.to_be_bytes()[..], bytes].concat();
    piece(cookie, done, chunk::OFFSET_DATA, &payload)
}

fn hole(cookie: u64, done: bool, offset: u64, length: u32) -> Vec<u8> {
    let payload = [&offset.to_be_bytes()[..], &length.to_be_bytes()].concat();
    piece(cookie, done, chunk::OFFSET_HOLE, &payload)
}

fn plain(cookie: u64, error: u32) -> Vec<u8> {
    [
        &0x6744_6698_u32.to_be_bytes()[..],
        &error.to_be_bytes(),
        &cookie.to_be_bytes(),
    ]
    .concat()
}

fn opened(parts: &[Vec<u8>]) -> (Script, Connection) {
    let mut script = Script::new(parts);
    let connection = Connection::open(&mut script, b"disk").unwrap();
    (script, connection)
}

fn refusal(parts: &[Vec<u8>]) -> Fault {
    Connection::open(&mut Script::new(parts), b"disk").unwrap_err()
}

/// What a read of eight bytes at 16 comes to.
fn read(handshake: Vec<u8>, answers: &[Vec<u8>]) -> Result<[u8; 8]> {
    let (mut script, mut connection) = opened(&[handshake, answers.concat()]);
    let mut bytes = [0xee; 8];
    let mut reads = [Read::new(16, &mut bytes)];
    connection.read(&mut script, &mut reads, &mut || {});
    let [read] = reads;
    read.outcome.map(|()| bytes)
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> FaultCode {
    result.unwrap_err().code
}

#[test]
fn what_is_asked_for_is_what_the_protocol_says() {
    let (script, connection) = opened(&[modern(1 << 20, &blocks(512, 1 << 20))]);
    assert_eq!(connection.export().size(), 1 << 20);
    let options = [
        b"\0\0\0\x03".to_vec(),
        b"IHAVEOPT\0\0\0\x08\0\0\0\0".to_vec(),
        b"IHAVEOPT\0\0\0\x0a\0\0\0\x1f\0\0\0\x04disk\0\0\0\x01\0\0\0\x0fbase:allocation".to_vec(),
        b"IHAVEOPT\0\0\0\x07\0\0\0\x0c\0\0\0\x04disk\0\x01\0\x03".to_vec(),
    ];
    assert_eq!(script.heard, options.concat());
}

#[test]
fn servers_of_every_age_export_the_same_disk() {
    let by_name =
        |zeros: usize| [&4096_u64.to_be_bytes()[..], &1_u16.to_be_bytes(), &vec![0; zeros]].concat();
    for handshake in [
        modern(4096, &[]),
        simple(4096, 1),
        [greeting(0), by_name(124)].concat(),
        [
            greeting(hello::FIXED_NEWSTYLE),
            reply(option::STRUCTURED_REPLY, answer::UNSUPPORTED, b""),
            reply(option::GO, answer::UNSUPPORTED, b"what?"),
            by_name(124),
        ]
        .concat(),
    ] {
        let mut script = Script::new(&[handshake]);
        // However the bytes are cut up on the way.
        script.step = 1;
        let connection = Connection::open(&mut script, b"disk").unwrap();
        assert_eq!(connection.export().size(), 4096);
        assert_eq!(script.at, script.says.len());
    }
}

#[test]
fn a_server_that_says_no_is_understood() {
    let says = |kind| {
        [
            greeting(hello::FIXED_NEWSTYLE | hello::NO_ZEROES),
            reply(option::STRUCTURED_REPLY, answer::UNSUPPORTED, b""),
            reply(option::GO, kind, b"no \x1b such"),
        ]
    };
    for (kind, code) in [
        (answer::UNKNOWN, fault::nbd::NO_EXPORT),
        (answer::TLS_REQUIRED, fault::nbd::TLS),
        (answer::POLICY, fault::nbd::POLICY),
        (answer::SHUTDOWN, fault::nbd::SHUTDOWN),
        (answer::ERROR | 77, fault::nbd::REFUSED),
    ] {
        let fault = refusal(&says(kind));
        assert_eq!(fault.code, code);
        assert_eq!(fault.text.unwrap().as_bytes(), b"no \x1b such");
    }
}

#[test]
fn lies_in_the_handshake_are_faults() {
    let go = |answers: &[Vec<u8>]| {
        [
            greeting(hello::FIXED_NEWSTYLE | hello::NO_ZEROES),
            reply(option::STRUCTURED_REPLY, answer::UNSUPPORTED, b""),
            answers.concat(),
        ]
    };
    let info = |data: &[u8]| reply(option::GO, answer::INFO, data);
    let long = [
        &0x0003_e889_0455_65a9_u64.to_be_bytes()[..],
        &option::GO.to_be_bytes(),
        &answer::INFO.to_be_bytes(),
        &u32::MAX.to_be_bytes(),
    ]
    .concat();
    for (parts, code) in [
        (
            vec![b"SSH-2.0-OpenSSH_9".to_vec(), vec![b'x'; 9]],
            fault::nbd::NOT_NBD,
        ),
        (
            vec![b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53xx".to_vec()],
            fault::nbd::OLDSTYLE,
        ),
        (vec![b"NBDMAG".to_vec()], fault::nbd::ENDED),
        (go(&[info(&export(1 << 63, 1))]).to_vec(), fault::nbd::ENDED),
        (
            go(&[info(&export(1 << 63, 1)), reply(option::GO, answer::ACK, b"")]).to_vec(),
            fault::nbd::SIZE,
        ),
        (
            go(&[reply(option::GO, answer::ACK, b"")]).to_vec(),
            fault::nbd::HANDSHAKE,
        ),
        (go(&[info(b"\0")]).to_vec(), fault::nbd::HANDSHAKE),
        (go(&[info(b"\0\0short")]).to_vec(), fault::nbd::HANDSHAKE),
        (
            go(&[reply(option::EXPORT_NAME, answer::ACK, b"")]).to_vec(),
            fault::nbd::HANDSHAKE,
        ),
        (go(&[reply(option::GO, 99, b"")]).to_vec(), fault::nbd::HANDSHAKE),
        (go(&[info(&blocks(3, 4096))]).to_vec(), fault::nbd::BLOCKS),
        (go(&[info(&blocks(0, 4096))]).to_vec(), fault::nbd::BLOCKS),
        (go(&[info(&blocks(4096, 512))]).to_vec(), fault::nbd::BLOCKS),
        (
            go(&[info(&blocks(1 << 20, 1 << 20))]).to_vec(),
            fault::nbd::BLOCKS,
        ),
        (go(&[long]).to_vec(), fault::nbd::LONG_ANSWER),
        (
            go(&[info(b"\0\x63what").repeat(1000)]).to_vec(),
            fault::nbd::ANSWERS,
        ),
    ] {
        assert_eq!(refusal(&parts).code, code, "{parts:?}");
    }
    let name = vec![b'x'; 5000];
    let mut script = Script::new(&[modern(1, &[])]);
    assert_eq!(code(Connection::open(&mut script, &name)), fault::nbd::NAME);
}

#[test]
fn a_read_is_whole_however_it_is_cut_up() {
    let whole = *b"abcdefgh";
    for answers in [
        vec![data(1, true, 16, b"abcdefgh")],
        vec![data(1, false, 20, b"efgh"), data(1, true, 16, b"abcd")],
        vec![data(1, false, 16, b"abcdefgh"), piece(1, true, chunk::NONE, b"")],
    ] {
        assert_eq!(read(modern(4096, &[]), &answers).unwrap(), whole);
    }
    let answers = [hole(1, false, 16, 4), data(1, true, 20, b"efgh")];
    assert_eq!(read(modern(4096, &[]), &answers).unwrap(), *b"\0\0\0\0efgh");
    let answers = [plain(1, 0), b"abcdefgh".to_vec()];
    assert_eq!(read(simple(4096, 1), &answers).unwrap(), whole);
    // Blocks of 512 bytes: what is asked for is around it.
    let mut block = vec![0; 512];
    block[16..24].copy_from_slice(&whole);
    let answers = [data(1, true, 0, &block)];
    assert_eq!(read(modern(4096, &blocks(512, 4096)), &answers).unwrap(), whole);
}

#[test]
fn lies_in_replies_are_faults() {
    for (answers, expected) in [
        (vec![data(2, true, 16, b"abcdefgh")], fault::nbd::COOKIE),
        (vec![data(1, true, 16, b"abcdefghi")], fault::nbd::OUTSIDE),
        (vec![data(1, true, 15, b"abcdefgh")], fault::nbd::OUTSIDE),
        (vec![data(1, true, u64::MAX, b"abcdefgh")], fault::nbd::OUTSIDE),
        (
            vec![data(1, false, 16, b"abcd"), data(1, true, 18, b"cdefgh")],
            fault::nbd::OUTSIDE,
        ),
        (vec![data(1, true, 16, b"abcd")], fault::nbd::MISSING),
        (vec![piece(1, true, chunk::NONE, b"")], fault::nbd::MISSING),
        (vec![piece(1, false, chunk::NONE, b"")], fault::nbd::LENGTH),
        (vec![data(1, true, 16, b"")], fault::nbd::LENGTH),
        (vec![hole(1, true, 16, 0)], fault::nbd::OUTSIDE),
        (vec![hole(1, true, 16, u32::MAX)], fault::nbd::OUTSIDE),
        (
            vec![piece(1, true, chunk::OFFSET_HOLE, b"short")],
            fault::nbd::LENGTH,
        ),
        (vec![piece(1, true, 4711, b"")], fault::nbd::REPLY),
        (vec![piece(1, true, chunk::BLOCK_STATUS, b"")], fault::nbd::REPLY),
        (vec![plain(1, 0), b"abcdefgh".to_vec()], fault::nbd::REPLY),
        (vec![b"what?".to_vec()], fault::nbd::REPLY),
        (
            vec![data(1, true, 16, b"abcdefgh")[..30].to_vec()],
            fault::nbd::ENDED,
        ),
        (
            vec![piece(1, false, chunk::ERROR | 1, b"\0\0\0\x05\0\0").repeat(9000)],
            fault::nbd::CHUNKS,
        ),
        (
            vec![piece(1, true, chunk::ERROR | 1, b"\0\0")],
            fault::nbd::LENGTH,
        ),
    ] {
        assert_eq!(code(read(modern(4096, &[]), &answers)), expected, "{answers:?}");
    }
    let answers = [data(1, true, 16, b"abcdefgh")];
    assert_eq!(code(read(simple(4096, 1), &answers)), fault::nbd::REPLY);
}

#[test]
fn an_error_of_the_server_ends_one_request_and_a_breach_all() {
    let errors = [
        piece(1, true, chunk::ERROR | 1, b"\0\0\0\x05\0\x03why"),
        data(2, true, 16, b"abcdefgh"),
        data(9, true, 16, b"abcdefgh"),
        data(4, true, 16, b"abcdefgh"),
    ];
    let (mut script, mut connection) = opened(&[modern(4096, &[]), errors.concat()]);
    let mut once = |connection: &mut Connection| {
        let mut bytes = [0; 8];
        let mut reads = [Read::new(16, &mut bytes)];
        connection.read(&mut script, &mut reads, &mut || {});
        let [read] = reads;
        read.outcome
    };
    let fault = once(&mut connection).unwrap_err();
    assert_eq!((fault.code, fault.numbers[0]), (fault::core::IO, 5));
    assert!(once(&mut connection).is_ok());
    assert_eq!(code(once(&mut connection)), fault::nbd::COOKIE);
    assert_eq!(code(once(&mut connection)), fault::nbd::COOKIE);
}

#[test]
fn where_data_is_comes_from_one_answer_until_something_is_written() {
    let descriptors = |pairs: &[(u32, u32)]| {
        let pairs = pairs.iter();
        let bytes = pairs.flat_map(|(length, state)| [length.to_be_bytes(), state.to_be_bytes()].concat());
        let payload: Vec<u8> = 7_u32.to_be_bytes().into_iter().chain(bytes).collect();
        payload
    };
    let answer = descriptors(&[(1024, 3), (512, 0), (512, 0), (2048, 2)]);
    let (mut script, mut connection) =
        opened(&[modern(4096, &[]), piece(1, true, chunk::BLOCK_STATUS, &answer)]);
    let mut extents = |offset, length| {
        let mut found = Vec::new();
        let asked = connection.extents(&mut script, offset, length, |length, data| {
            found.push((length, data));
            true
        });
        asked.map(|()| found)
    };
    let all = vec![(1024, false), (1024, true), (2048, false)];
    assert_eq!(extents(0, 4096).unwrap(), all);
    assert_eq!(extents(512, 1024).unwrap(), [(512, false), (512, true)]);
    assert_eq!(extents(4000, 4096).unwrap(), [(96, false)]);
    for (payload, expected) in [
        (descriptors(&[]), fault::nbd::LENGTH),
        (descriptors(&[(0, 0)]), fault::nbd::EXTENTS),
        (b"\0\0\0\x08\0\0\x10\0\0\0\0\0".to_vec(), fault::nbd::EXTENTS),
        (vec![0; 13], fault::nbd::LENGTH),
    ] {
        let reply = piece(1, true, chunk::BLOCK_STATUS, &payload);
        let (mut script, mut connection) = opened(&[modern(4096, &[]), reply]);
        let asked = connection.extents(&mut script, 0, 4096, |_, _| true);
        assert_eq!(code(asked), expected, "{payload:?}");
    }
    let twice = piece(1, false, chunk::BLOCK_STATUS, &answer).repeat(2);
    let (mut script, mut connection) = opened(&[modern(4096, &[]), twice]);
    let asked = connection.extents(&mut script, 0, 4096, |_, _| true);
    assert_eq!(code(asked), fault::nbd::EXTENTS);
}

#[test]
fn writes_are_requests_with_their_bytes() {
    let flags = transmission::FLUSH | transmission::WRITE_ZEROES | transmission::TRIM;
    let replies: Vec<Vec<u8>> = (1..6).map(|cookie| plain(cookie, 0)).collect();
    let (mut script, mut connection) = opened(&[simple(4096, flags), replies.concat()]);
    let before = script.heard.len();
    connection.write(&mut script, 512, b"bytes").unwrap();
    connection.zero(&mut script, 1024, 512, true).unwrap();
    connection.zero(&mut script, 1024, 512, false).unwrap();
    connection.discard(&mut script, 0, 512).unwrap();
    connection.flush(&mut script).unwrap();
    connection.close(&mut script).unwrap();
    let request = |flags: u16, command: u16, cookie: u64, offset: u64, length: u32| {
        [
            &0x2560_9513_u32.to_be_bytes()[..],
            &flags.to_be_bytes(),
            &command.to_be_bytes(),
            &cookie.to_be_bytes(),
            &offset.to_be_bytes(),
            &length.to_be_bytes(),
        ]
        .concat()
    };
    let expected = [
        request(0, 1, 1, 512, 5),
        b"bytes".to_vec(),
        request(0, 6, 2, 1024, 512),
        request(2, 6, 3, 1024, 512),
        request(0, 4, 4, 0, 512),
        request(0, 3, 5, 0, 0),
        request(0, 2, 6, 0, 0),
    ];
    assert_eq!(script.heard[before..], expected.concat());
}

#[test]
fn a_write_that_the_server_refuses_is_its_errno() {
    let (mut script, mut connection) = opened(&[simple(4096, 0), plain(1, 28)]);
    let fault = connection.write(&mut script, 0, b"bytes").unwrap_err();
    assert_eq!((fault.code, fault.numbers[0]), (fault::core::IO, 28));
}
