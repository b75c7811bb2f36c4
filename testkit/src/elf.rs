//! Guests made by the tests: an ELF of a few bytes around machine code.

use std::arch::global_asm;

use instar_abi::layout::{BASE, BootInfo, CONTROL, DOORBELL_PORT, MAILBOXES};
use instar_abi::mailbox::{DOORBELL_GUEST, DOORBELL_HOST};
use instar_abi::{RawRequest, limits::BATCH};
use zerocopy::IntoBytes;

/// Where a test's constants lie.
pub const RODATA: u64 = BASE + (1 << 20);
/// Where a test's data lie.
pub const DATA: u64 = BASE + (3 << 20);

/// A static ELF: code at the image's start, constants and a page of data behind it.
pub fn elf(code: &[u8], constants: &[u8]) -> Vec<u8> {
    let segments = [
        (5_u32, BASE, code, code.len()),
        (4, RODATA, constants, constants.len().max(1)),
        (6, DATA, &[][..], 4096),
    ];
    let mut file = vec![0; 4096];
    let mut headers = Vec::new();
    for (flags, address, bytes, memory) in segments {
        headers.extend(1_u32.to_le_bytes());
        headers.extend(flags.to_le_bytes());
        for word in [
            file.len() as u64,
            address,
            address,
            bytes.len() as u64,
            memory as u64,
            4096,
        ] {
            headers.extend(word.to_le_bytes());
        }
        file.extend(bytes);
        file.resize(file.len().next_multiple_of(4096), 0);
    }
    file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    file[16] = 2;
    file[18] = 62;
    file[24..32].copy_from_slice(&BASE.to_le_bytes());
    file[32..40].copy_from_slice(&64_u64.to_le_bytes());
    file[56] = 3;
    file[64..64 + headers.len()].copy_from_slice(&headers);
    file
}

/// A system call with small arguments, as machine code.
pub fn system_call(number: u32, arguments: [u32; 4]) -> Vec<u8> {
    let [edi, esi, edx, r10d] = arguments;
    let mut code = Vec::new();
    for (opcode, value) in [
        (&[0xbf][..], edi),
        (&[0xbe], esi),
        (&[0xba], edx),
        (&[0x41, 0xba], r10d),
        (&[0xb8], number),
    ] {
        code.extend(opcode);
        code.extend(value.to_le_bytes());
    }
    code.extend([0x0f, 0x05]);
    code
}

/// `mov rax, value`
pub fn load(value: u64) -> Vec<u8> {
    [&[0x48, 0xb8][..], &value.to_le_bytes()].concat()
}

/// One batch that the player hands over: the count it claims, and the requests that it really puts there.
#[derive(Clone, Debug)]
pub struct Batch {
    pub count: u32,
    pub requests: Vec<RawRequest>,
}

impl Batch {
    pub fn of(requests: &[RawRequest]) -> Self {
        Self {
            count: u32::try_from(requests.len()).unwrap(),
            requests: requests.to_vec(),
        }
    }
}

/// A guest whose lane 0 plays the batches one after the other, while the others scribble into lane 0's mailbox.
pub fn player(batches: &[Batch]) -> Vec<u8> {
    let mut constants = vec![0; 64];
    constants[..4].copy_from_slice(&u32::try_from(batches.len()).unwrap().to_le_bytes());
    for batch in batches {
        assert!(batch.requests.len() <= BATCH);
        let mut header = [0; 64];
        header[..4].copy_from_slice(&batch.count.to_le_bytes());
        header[4..8].copy_from_slice(&u32::try_from(batch.requests.len()).unwrap().to_le_bytes());
        constants.extend(header);
        for request in &batch.requests {
            constants.extend(request.as_bytes());
        }
    }
    let (start, end) = (&raw const evil_player, &raw const evil_player_end);
    // SAFETY: the symbols enclose read-only data.
    let code = unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) };
    elf(code, &constants)
}

/// A guest each of whose lanes rings once, with whatever is in its mailbox, and does nothing more.
pub fn ringer() -> Vec<u8> {
    let (start, end) = (&raw const evil_ringer, &raw const evil_ringer_end);
    // SAFETY: the symbols enclose read-only data.
    let code = unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) };
    elf(code, b"")
}

unsafe extern "C" {
    static evil_player: u8;
    static evil_player_end: u8;
    static evil_ringer: u8;
    static evil_ringer_end: u8;
}

global_asm!(
    ".pushsection .rodata.evil_ringer, \"a\", @progbits",
    ".global evil_ringer, evil_ringer_end",
    ".hidden evil_ringer, evil_ringer_end",
    "evil_ringer:",
    "    mov ebx, edi",
    "    shl ebx, 15",
    "    add ebx, {mailboxes}",
    "    cmp dword ptr [{boot} + 28], {futex_kind}",
    "    je 3f",
    "    mov edx, {port}",
    "    xor eax, eax",
    "    out dx, eax",
    "2:  jmp 2b",
    "3:  mov dword ptr [rbx], {host}",
    "    mov edi, ebx",
    "    mov esi, 1",
    "    mov edx, 1",
    "    xor r10d, r10d",
    "    mov eax, 202",
    "    syscall",
    "4:  jmp 4b",
    "evil_ringer_end:",
    ".popsection",
    mailboxes = const MAILBOXES,
    boot = const CONTROL,
    futex_kind = const BootInfo::DOORBELL_FUTEX,
    port = const DOORBELL_PORT,
    host = const DOORBELL_HOST,
);

global_asm!(
    ".pushsection .rodata.evil_player, \"a\", @progbits",
    ".global evil_player, evil_player_end",
    ".hidden evil_player, evil_player_end",
    "evil_player:",
    "    test edi, edi",
    "    jnz 20f",
    // Lane 0: r12 walks the batches, r13 counts them, ebx is the mailbox.
    "    mov r12d, {rodata}",
    "    mov r13d, dword ptr [r12]",
    "    add r12, 64",
    "    mov ebx, {mailboxes}",
    "2:  test r13d, r13d",
    "    jz 9f",
    "    mov eax, dword ptr [r12]",
    "    mov dword ptr [rbx + 4], eax",
    "    mov ecx, dword ptr [r12 + 4]",
    "    shl ecx, 6",
    "    lea rsi, [r12 + 64]",
    "    lea rdi, [rbx + 64]",
    "    rep movsb",
    "    mov r12, rsi",
    "    dec r13d",
    "    cmp dword ptr [{boot} + 28], {futex_kind}",
    "    je 3f",
    "    mov edx, {port}",
    "    xor eax, eax",
    "    out dx, eax",
    "    jmp 2b",
    "3:  mov dword ptr [rbx], {host}",
    "    mov edi, ebx",
    "    mov esi, 1",
    "    mov edx, 1",
    "    xor r10d, r10d",
    "    mov eax, 202",
    "    syscall",
    "4:  cmp dword ptr [rbx], {guest}",
    "    je 2b",
    "    mov edi, ebx",
    "    xor esi, esi",
    "    mov edx, {host}",
    "    xor r10d, r10d",
    "    mov eax, 202",
    "    syscall",
    "    jmp 4b",
    "9:  ud2",
    // Other lanes: flip fields of lane 0's first requests between good and evil, without end.
    "20: mov ebx, {mailboxes}",
    "    mov r9, 0x9e3779b97f4a7c15",
    "21: mov rax, r9",
    "    shl rax, 13",
    "    xor r9, rax",
    "    mov rax, r9",
    "    shr rax, 7",
    "    xor r9, rax",
    "    mov rax, r9",
    "    shl rax, 17",
    "    xor r9, rax",
    // A word of one of the first eight requests, or the count.
    "    mov eax, r9d",
    "    and eax, 0x1f8",
    "    mov rcx, r9",
    "    shr rcx, 32",
    "    test cl, 3",
    "    jnz 22f",
    "    mov qword ptr [rbx + rax + 64], r9",
    "    jmp 21b",
    "22: mov r8d, {base}",
    "    test cl, 4",
    "    jz 23f",
    "    mov r8d, {heap}",
    "23: mov qword ptr [rbx + 64 + 40], r8",
    "    mov dword ptr [rbx + 64], 1",
    "    mov qword ptr [rbx + 64 + 32], 4096",
    "    test cl, 0x78",
    "    jnz 21b",
    "    mov dword ptr [rbx + 4], ecx",
    "    mov dword ptr [rbx + 4], 1",
    "    jmp 21b",
    "evil_player_end:",
    ".popsection",
    rodata = const RODATA,
    mailboxes = const MAILBOXES,
    boot = const CONTROL,
    futex_kind = const BootInfo::DOORBELL_FUTEX,
    port = const DOORBELL_PORT,
    host = const DOORBELL_HOST,
    guest = const DOORBELL_GUEST,
    base = const BASE,
    heap = const instar_abi::layout::HEAP,
);
