//! The last code of ours that runs in the confined process: it unmaps everything else.
//!
//! It lies in guest memory, in the part that belongs to the backend, and is copied there before the fork. On entry it is
//! the only thread of the child; descriptors are closed and guest memory is in place. Then:
//!
//! ```text
//!  leader   one thread for each lane; ends. (It alone has an rseq area and a thread pointer in memory to be unmapped.)
//!  lane 0   waits for the leader's end; unmaps all but guest memory; asks to die with the parent;
//!           waits for the other lanes; puts the filter on all threads; arms
//!  lane n   own signal stack; forgets the thread pointer; waits until armed
//!  all      wait for the parent's word; enter the guest with empty registers
//! ```
//!
//! A fault of the guest's ends in the handler here, which writes what happened into the record and ends the process.
//! What it writes is only ever shown to the user: the guest could write it too.

use std::arch::global_asm;
use std::io;
use std::ptr;

use instar_abi::layout::{BACKEND, BASE, JOB, MAILBOX_STRIDE, MAILBOXES, PAGE, STACK_STRIDE, STACKS};
use instar_abi::limits::LANES;
use instar_memory::GuestMemory;

use super::filter;
use instar_jail::bpf::Instruction;

/// Code and parameters: read and execute.
pub(super) const STUB: u64 = BACKEND;
/// The words through which the parent and the stub talk: read and write.
pub(super) const RECORD: u64 = STUB + PAGE;
/// Signal stacks: read and write.
pub(super) const SIGNAL_STACKS: u64 = RECORD + PAGE;
pub(super) const SIGNAL_STACK_BYTES: u64 = 16 << 10;

// Words of the record.
/// The parent says: start.
pub(super) const GO: u64 = RECORD;
const READY: u64 = RECORD + 4;
const LEADER: u64 = RECORD + 8;
const FAULTED: u64 = RECORD + 12;
/// The filter is in force on every lane.
pub(super) const ARMED: u64 = RECORD + 16;
/// The step of the set-up that failed, and the error.
pub(super) const FAILED: u64 = RECORD + 24;
pub(super) const FAULT: u64 = RECORD + 64;

// Words of the parameters, behind the code.
const PARAMETERS: u64 = STUB + 2048;
const LANES_HERE: u64 = PARAMETERS;
const PARENT: u64 = PARAMETERS + 4;
const END: u64 = PARAMETERS + 8;
const ENTRY: u64 = PARAMETERS + 16;
const SEALED_FROM: u64 = PARAMETERS + 24;
const SEALED_TO: u64 = PARAMETERS + 32;
const PROGRAM: u64 = PARAMETERS + 40;
const INSTRUCTIONS: u64 = PARAMETERS + 64;

/// `exit_group` status when a step of the set-up fails.
pub(super) const STATUS_SET_UP: i32 = 70;
/// `exit_group` status of the fault handler.
pub(super) const STATUS_FAULT: i32 = 71;
/// The handler's word in the mailbox of the lane that faulted, so that its server looks at once.
pub(super) const DOORBELL_FAULT: u32 = 2;

/// End of what a process may map, less the page that is never given out.
const USER_END: u64 = 0x7fff_ffff_f000;
const CLONE_FLAGS: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

const _: () = {
    assert!(STACK_STRIDE == 1 << 18 && MAILBOX_STRIDE == 1 << 15 && SIGNAL_STACK_BYTES == 1 << 14);
    assert!(SIGNAL_STACKS + SIGNAL_STACK_BYTES * (LANES as u64) <= JOB);
    assert!(INSTRUCTIONS + 8 * filter::LENGTH as u64 <= RECORD);
};

// Every address is below 2 GiB, so a 32-bit move reaches it. `syscall` overwrites rax, rcx and r11 only.
global_asm!(
    ".pushsection .rodata.instar_stub, \"a\", @progbits",
    ".balign 16",
    // Global, since the code that names them may come to lie in another object file.
    ".global instar_stub_start, instar_stub_handler, instar_stub_end",
    ".hidden instar_stub_start, instar_stub_handler, instar_stub_end",
    "instar_stub_start:",
    // The leader. Its end clears the word and wakes lane 0.
    "    mov edi, {leader}",
    "    mov eax, {sys_set_tid_address}",
    "    syscall",
    "    xor ebx, ebx",
    "2:  lea esi, [rbx + 1]",
    "    shl esi, 18",
    "    add esi, {stacks}",
    "    mov edi, {clone_flags}",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    xor r8d, r8d",
    "    mov eax, {sys_clone}",
    "    syscall",
    "    test eax, eax",
    "    jz 3f",
    "    js 90f",
    "    inc ebx",
    "    cmp ebx, dword ptr [{lanes}]",
    "    jb 2b",
    "    xor edi, edi",
    "    mov eax, {sys_exit}",
    "    syscall",
    // A lane: ebx is its number.
    "3:  sub rsp, 32",
    "    mov eax, ebx",
    "    shl eax, 14",
    "    add eax, {signal_stacks}",
    "    mov qword ptr [rsp], rax",
    "    mov qword ptr [rsp + 8], 0",
    "    mov qword ptr [rsp + 16], {signal_stack_bytes}",
    "    mov rdi, rsp",
    "    xor esi, esi",
    "    mov eax, {sys_sigaltstack}",
    "    syscall",
    "    test eax, eax",
    "    jnz 90f",
    "    mov edi, {arch_set_fs}",
    "    xor esi, esi",
    "    mov eax, {sys_arch_prctl}",
    "    syscall",
    "    test eax, eax",
    "    jnz 90f",
    "    test ebx, ebx",
    "    jz 5f",
    // Lanes other than 0: one more is ready; wait for the filter.
    "    lock inc dword ptr [{ready}]",
    "    mov edi, {ready}",
    "    mov esi, {futex_wake}",
    "    mov edx, 1",
    "    mov eax, {sys_futex}",
    "    syscall",
    "4:  mov eax, dword ptr [{armed}]",
    "    test eax, eax",
    "    jnz 40f",
    "    mov edi, {armed}",
    "    xor esi, esi",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    mov eax, {sys_futex}",
    "    syscall",
    "    jmp 4b",
    // Lane 0: the leader must be gone before its memory goes.
    "5:  mov edx, dword ptr [{leader}]",
    "    test edx, edx",
    "    jz 6f",
    "    mov edi, {leader}",
    "    xor esi, esi",
    "    xor r10d, r10d",
    "    mov eax, {sys_futex}",
    "    syscall",
    "    jmp 5b",
    "6:  xor edi, edi",
    "    mov esi, {base}",
    "    mov eax, {sys_munmap}",
    "    syscall",
    "    test eax, eax",
    "    jnz 90f",
    "    mov rdi, qword ptr [{end}]",
    "    movabs rsi, {user_end}",
    "    sub rsi, rdi",
    "    mov eax, {sys_munmap}",
    "    syscall",
    "    test eax, eax",
    "    jz 8f",
    // A kernel that seals its own pages (vdso): everything around them, then what can be had of them.
    "    mov rdi, qword ptr [{end}]",
    "    mov rsi, qword ptr [{sealed_from}]",
    "    sub rsi, rdi",
    "    mov eax, {sys_munmap}",
    "    syscall",
    "    test eax, eax",
    "    jnz 90f",
    "    mov rdi, qword ptr [{sealed_to}]",
    "    movabs rsi, {user_end}",
    "    sub rsi, rdi",
    "    mov eax, {sys_munmap}",
    "    syscall",
    "    test eax, eax",
    "    jnz 90f",
    "    mov r12, qword ptr [{sealed_from}]",
    "7:  cmp r12, qword ptr [{sealed_to}]",
    "    jae 8f",
    "    mov rdi, r12",
    "    mov esi, 4096",
    "    mov eax, {sys_munmap}",
    "    syscall",
    "    add r12, 4096",
    "    jmp 7b",
    // Die with the parent; and if it died before this, now.
    "8:  mov edi, {pr_set_pdeathsig}",
    "    mov esi, {sigkill}",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    xor r8d, r8d",
    "    mov eax, {sys_prctl}",
    "    syscall",
    "    test eax, eax",
    "    jnz 90f",
    "    mov eax, {sys_getppid}",
    "    syscall",
    "    cmp eax, dword ptr [{parent}]",
    "    jne 90f",
    "9:  mov edx, dword ptr [{ready}]",
    "    lea eax, [rdx + 1]",
    "    cmp eax, dword ptr [{lanes}]",
    "    jae 10f",
    "    mov edi, {ready}",
    "    xor esi, esi",
    "    xor r10d, r10d",
    "    mov eax, {sys_futex}",
    "    syscall",
    "    jmp 9b",
    "10: mov edi, {set_mode_filter}",
    "    mov esi, {tsync}",
    "    mov edx, {program}",
    "    mov eax, {sys_seccomp}",
    "    syscall",
    "    test eax, eax",
    "    jnz 90f",
    "    mov dword ptr [{armed}], 1",
    "    mov edi, {armed}",
    "    mov esi, {futex_wake}",
    "    mov edx, 0x7fffffff",
    "    mov eax, {sys_futex}",
    "    syscall",
    // Everyone, under the filter: wait for the parent, then enter the guest.
    "40: mov eax, dword ptr [{go}]",
    "    test eax, eax",
    "    jnz 41f",
    "    mov edi, {go}",
    "    xor esi, esi",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    mov eax, {sys_futex}",
    "    syscall",
    "    jmp 40b",
    "41: mov edi, ebx",
    "    lea esp, [rbx + 1]",
    "    shl esp, 18",
    "    add esp, {stacks}",
    "    xor eax, eax",
    "    xor ebx, ebx",
    "    xor ecx, ecx",
    "    xor edx, edx",
    "    xor esi, esi",
    "    xor ebp, ebp",
    "    xor r8d, r8d",
    "    xor r9d, r9d",
    "    xor r10d, r10d",
    "    xor r11d, r11d",
    "    xor r12d, r12d",
    "    xor r13d, r13d",
    "    xor r14d, r14d",
    "    xor r15d, r15d",
    "    jmp qword ptr [{entry}]",
    // A step failed.
    "90: mov edi, {status_set_up}",
    "    mov eax, {sys_exit_group}",
    "    syscall",
    "    ud2",
    // The handler: edi signal, rsi siginfo, rdx ucontext. Only the first fault is recorded.
    "instar_stub_handler:",
    "    mov eax, 1",
    "    xchg eax, dword ptr [{faulted}]",
    "    test eax, eax",
    "    jnz 91f",
    "    mov dword ptr [{fault}], edi",
    "    mov rax, qword ptr [rsi + 16]",
    "    mov qword ptr [{fault} + 8], rax",
    "    mov rax, qword ptr [rdx + 168]",
    "    mov qword ptr [{fault} + 16], rax",
    "    lea edi, [rsp - {signal_stacks}]",
    "    shr edi, 14",
    "    shl edi, 15",
    "    add edi, {mailboxes}",
    "    mov dword ptr [rdi], {doorbell_fault}",
    "    mov esi, {futex_wake}",
    "    mov edx, 1",
    "    mov eax, {sys_futex}",
    "    syscall",
    "91: mov edi, {status_fault}",
    "    mov eax, {sys_exit_group}",
    "    syscall",
    "    ud2",
    "instar_stub_end:",
    ".popsection",
    leader = const LEADER,
    stacks = const STACKS,
    clone_flags = const CLONE_FLAGS,
    lanes = const LANES_HERE,
    signal_stacks = const SIGNAL_STACKS,
    signal_stack_bytes = const SIGNAL_STACK_BYTES,
    arch_set_fs = const 0x1002,
    ready = const READY,
    armed = const ARMED,
    base = const BASE,
    end = const END,
    user_end = const USER_END,
    sealed_from = const SEALED_FROM,
    sealed_to = const SEALED_TO,
    pr_set_pdeathsig = const libc::PR_SET_PDEATHSIG,
    sigkill = const libc::SIGKILL,
    parent = const PARENT,
    set_mode_filter = const libc::SECCOMP_SET_MODE_FILTER,
    tsync = const libc::SECCOMP_FILTER_FLAG_TSYNC,
    program = const PROGRAM,
    go = const GO,
    entry = const ENTRY,
    status_set_up = const STATUS_SET_UP,
    faulted = const FAULTED,
    fault = const FAULT,
    mailboxes = const MAILBOXES,
    doorbell_fault = const DOORBELL_FAULT,
    status_fault = const STATUS_FAULT,
    futex_wake = const libc::FUTEX_WAKE,
    sys_set_tid_address = const libc::SYS_set_tid_address,
    sys_clone = const libc::SYS_clone,
    sys_exit = const libc::SYS_exit,
    sys_sigaltstack = const libc::SYS_sigaltstack,
    sys_arch_prctl = const libc::SYS_arch_prctl,
    sys_futex = const libc::SYS_futex,
    sys_munmap = const libc::SYS_munmap,
    sys_prctl = const libc::SYS_prctl,
    sys_getppid = const libc::SYS_getppid,
    sys_seccomp = const libc::SYS_seccomp,
    sys_exit_group = const libc::SYS_exit_group,
);

unsafe extern "C" {
    static instar_stub_start: u8;
    static instar_stub_handler: u8;
    static instar_stub_end: u8;
}

/// The parameters of the stub.
pub(super) struct Parameters {
    pub(super) lanes: u32,
    pub(super) parent: u32,
    /// First address behind guest memory.
    pub(super) end: u64,
    pub(super) entry: u64,
}

/// Copies the stub and its parameters into guest memory.
pub(super) fn install(memory: &GuestMemory, parameters: &Parameters) -> io::Result<()> {
    let length = code_bytes();
    if length > usize::try_from(PARAMETERS - STUB).unwrap_or(0) {
        return Err(io::Error::other("the stub has grown into its parameters"));
    }
    // SAFETY: the symbols enclose `length` bytes of read-only data.
    let code = unsafe { std::slice::from_raw_parts(&raw const instar_stub_start, length) };
    let put = |address: u64, bytes: &[u8]| memory.write(address - BASE, bytes);
    put(STUB, code)?;
    put(LANES_HERE, &parameters.lanes.to_le_bytes())?;
    put(PARENT, &parameters.parent.to_le_bytes())?;
    put(END, &parameters.end.to_le_bytes())?;
    put(ENTRY, &parameters.entry.to_le_bytes())?;
    let (from, to) = kernel_pages();
    put(SEALED_FROM, &from.to_le_bytes())?;
    put(SEALED_TO, &to.to_le_bytes())?;
    // struct sock_fprog: length, padding, pointer.
    put(PROGRAM, &(filter::LENGTH as u64).to_le_bytes())?;
    put(PROGRAM + 8, &INSTRUCTIONS.to_le_bytes())?;
    for (place, instruction) in (INSTRUCTIONS..).step_by(8).zip(filter::program()) {
        put(place, &Instruction::bytes(instruction))?;
    }
    memory.store_u32(LEADER - BASE, 1)?;
    Ok(())
}

/// Address of the fault handler in the child.
pub(super) fn handler() -> u64 {
    let (start, handler) = (&raw const instar_stub_start, &raw const instar_stub_handler);
    STUB + handler.addr().wrapping_sub(start.addr()) as u64
}

fn code_bytes() -> usize {
    let (start, end) = (&raw const instar_stub_start, &raw const instar_stub_end);
    end.addr().wrapping_sub(start.addr())
}

/// Where the kernel's own pages (vdso and the data it reads) may lie.
fn kernel_pages() -> (u64, u64) {
    const AROUND: u64 = 64 << 10;
    // SAFETY: reads the auxiliary vector.
    let vdso = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } & !(PAGE - 1);
    if vdso == 0 {
        return (USER_END, USER_END);
    }
    (
        vdso.saturating_sub(AROUND),
        vdso.saturating_add(AROUND).min(USER_END),
    )
}

/// Enters the copy of the stub. Never returns.
///
/// # Safety
/// 1. Only in the forked child.
/// 2. Guest memory is at its place, and the stub is installed in it.
pub(super) unsafe fn enter() -> ! {
    let code = ptr::with_exposed_provenance::<()>(STUB as usize);
    // SAFETY: 2. there is executable code that takes no arguments; 1. nothing of the child's is needed when it does not come back.
    let code: extern "C" fn() -> ! = unsafe { std::mem::transmute(code) };
    code()
}
