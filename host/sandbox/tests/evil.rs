//! Hostile guests in every mode: each is contained, its end has a name, and the host goes on to run the next one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a helper of tests: a failure is a test failure, and guest addresses have 32 bits"
)]

mod common;

use std::time::{Duration, Instant};

use common::{Engine, modes, run, sandbox};
use instar_abi::layout::{BACKEND, BASE, HEAP, JOB, LAST_WORDS, MAILBOXES, SECRETS, STACK_STRIDE, STACKS};
use instar_abi::limits::BATCH;
use instar_abi::request::Op;
use instar_abi::{BadRequest, RawRequest};
use instar_sandbox::{Cause, Choice, GuestFault, Mode, Next, Outcome, Violation};
use instar_testkit::elf::{Batch, DATA, RODATA, elf, load, player, ringer, system_call};

/// Ends the run as a sound guest does.
const EXIT: RawRequest = RawRequest {
    op: Op::EXIT.0,
    flags: 0,
    slot: 0,
    other: 0,
    offset: 0,
    other_offset: 0,
    length: 0,
    address: 0,
    extra: 0,
    reserved: 0,
};

const EXCEPTION_DIVIDE: u8 = 0;
const EXCEPTION_BREAKPOINT: u8 = 3;
const EXCEPTION_ILLEGAL: u8 = 6;
const EXCEPTION_PROTECTION: u8 = 13;
const EXCEPTION_PAGE: u8 = 14;

/// Runs one lane of `code`, gives its fault, and shows that the host is well.
fn fault(choice: Choice, code: &[u8]) -> (Mode, GuestFault) {
    let sandbox = sandbox(choice, 1, &elf(code, b"constants"));
    let outcome = run(&sandbox);
    let Outcome::Fault(fault) = outcome else {
        panic!("{choice:?} {code:02x?}: {outcome:?}");
    };
    (sandbox.mode(), fault)
}

fn the_host_is_well(choice: Choice) {
    let sandbox = sandbox(choice, 1, &player(&[Batch::of(&[EXIT])]));
    let outcome = run(&sandbox);
    assert!(matches!(outcome, Outcome::Exited), "{outcome:?}");
}

/// Expects an exception under KVM and a signal in a process.
fn expect(code: &[u8], exception: u8, signal: i32, address: Option<u64>) {
    for choice in modes() {
        let (mode, fault) = fault(choice, code);
        let cause = match mode {
            Mode::Kvm => Cause::Exception(exception),
            Mode::Process => Cause::Signal(signal),
        };
        assert_eq!(fault.cause, cause, "{code:02x?}: {fault:?}");
        if let Some(address) = address {
            assert_eq!(fault.address, Some(address), "{fault:?}");
        }
        assert!(fault.instruction.is_some(), "{fault:?}");
    }
}

fn expect_page_fault(code: &[u8], address: u64) {
    expect(code, EXCEPTION_PAGE, libc::SIGSEGV, Some(address));
}

/// `mov rax, address; mov [rax], eax`
fn store(address: u64) -> Vec<u8> {
    [&load(address)[..], &[0x89, 0x00]].concat()
}

/// `mov rax, address; mov eax, [rax]`
fn fetch(address: u64) -> Vec<u8> {
    [&load(address)[..], &[0x8b, 0x00]].concat()
}

/// `mov rax, address; jmp rax`
fn jump(address: u64) -> Vec<u8> {
    [&load(address)[..], &[0xff, 0xe0]].concat()
}

#[test]
fn code_constants_the_job_and_the_boot_record_cannot_be_written() {
    for address in [BASE, BASE + 2, RODATA, JOB, instar_abi::layout::CONTROL] {
        expect_page_fault(&store(address), address);
    }
}

#[test]
fn data_stacks_mailboxes_and_heap_cannot_be_executed() {
    for address in [
        DATA,
        RODATA,
        STACKS + 8192,
        MAILBOXES,
        HEAP,
        HEAP + (4 << 20),
        JOB,
    ] {
        expect_page_fault(&jump(address), address);
    }
}

#[test]
fn memory_outside_the_plan_does_not_exist() {
    let end = BASE + instar_abi::layout::DEFAULT_BYTES;
    for address in [
        0,
        0x1000,
        BASE - 4096,
        RODATA - 4096,
        DATA + 4096,
        STACKS,
        STACKS + STACK_STRIDE + 8192,
        MAILBOXES + (32 << 10),
        LAST_WORDS - 4096,
        end,
        0x7000_0000,
        0x7fff_0000_0000,
    ] {
        expect_page_fault(&fetch(address), address);
        expect_page_fault(&store(address), address);
        expect_page_fault(&jump(address), address);
    }
}

#[test]
fn the_backends_own_pages_cannot_be_changed() {
    // Under KVM they are not there, in a process they are read and execute.
    expect_page_fault(&store(BACKEND), BACKEND);
}

#[test]
fn page_tables_and_descriptors_are_out_of_reach() {
    for page in 0..14 {
        let address = 0x7000_0000 + page * 4096;
        expect_page_fault(&fetch(address), address);
        expect_page_fault(&store(address), address);
    }
}

#[test]
fn addresses_of_the_kernel_and_of_nobody_fault() {
    for address in [
        0xffff_8000_0000_0000,
        0xffff_ffff_8000_0000,
        0xffff_ffff_ff60_0000,
        u64::MAX - 4095,
    ] {
        for code in [fetch(address), store(address)] {
            for choice in modes() {
                let (_, fault) = fault(choice, &code);
                let seen = [
                    Cause::Exception(EXCEPTION_PAGE),
                    Cause::Exception(EXCEPTION_PROTECTION),
                    Cause::Signal(libc::SIGSEGV),
                ];
                assert!(seen.contains(&fault.cause), "{fault:?}");
            }
        }
    }
    expect(&fetch(1 << 60), EXCEPTION_PROTECTION, libc::SIGSEGV, None);
}

#[test]
fn an_endless_stack_ends_at_its_guard_page() {
    // push rax; jmp -3
    expect_page_fault(&[0x50, 0xeb, 0xfd], STACKS + 4096 - 8);
}

#[test]
fn privileged_instructions_are_refused() {
    let instructions: [(&str, &[u8]); 27] = [
        ("hlt", &[0xf4]),
        ("cli", &[0xfa]),
        ("sti", &[0xfb]),
        ("mov cr0, rax", &[0x0f, 0x22, 0xc0]),
        ("mov cr3, rax", &[0x0f, 0x22, 0xd8]),
        ("mov rax, cr3", &[0x0f, 0x20, 0xd8]),
        ("mov cr4, rax", &[0x0f, 0x22, 0xe0]),
        ("mov dr7, rax", &[0x0f, 0x23, 0xf8]),
        ("clts", &[0x0f, 0x06]),
        ("invd", &[0x0f, 0x08]),
        ("wbinvd", &[0x0f, 0x09]),
        ("wrmsr", &[0x0f, 0x30]),
        ("rdmsr", &[0x0f, 0x32]),
        ("rdpmc", &[0x0f, 0x33]),
        ("invlpg [rsp]", &[0x0f, 0x01, 0x3c, 0x24]),
        ("lgdt [rsp - 16]", &[0x0f, 0x01, 0x54, 0x24, 0xf0]),
        ("lidt [rsp - 16]", &[0x0f, 0x01, 0x5c, 0x24, 0xf0]),
        ("ltr ax", &[0x0f, 0x00, 0xd8]),
        ("lldt ax", &[0x0f, 0x00, 0xd0]),
        ("lmsw ax", &[0x0f, 0x01, 0xf0]),
        ("swapgs", &[0x0f, 0x01, 0xf8]),
        ("xsetbv", &[0x31, 0xc9, 0x0f, 0x01, 0xd1]),
        ("in al, 0x60", &[0xe4, 0x60]),
        ("out 0xf4, al", &[0xe6, 0xf4]),
        ("out 0x80, al", &[0xe6, 0x80]),
        ("in eax, dx", &[0xba, 0xf8, 0x0c, 0, 0, 0xed]),
        (
            "out dx, eax, one port above the doorbell",
            &[0xba, 0x11, 0x05, 0, 0, 0xef],
        ),
    ];
    for (name, code) in instructions {
        for choice in modes() {
            // Behind the instruction: an endless loop, so that one that is let pass is seen.
            let code = [code, &[0xeb, 0xfe]].concat();
            let mut sandbox = sandbox(choice, 1, &elf(&code, b""));
            sandbox.set_timeout(Duration::from_secs(2));
            let outcome = run(&sandbox);
            let Outcome::Fault(fault) = outcome else {
                panic!("{name}: {outcome:?}");
            };
            let cause = match sandbox.mode() {
                Mode::Kvm => Cause::Exception(EXCEPTION_PROTECTION),
                Mode::Process => Cause::Signal(libc::SIGSEGV),
            };
            assert_eq!(fault.cause, cause, "{name}");
        }
    }
}

#[test]
fn instructions_of_another_kind_end_the_guest_or_do_nothing() {
    let instructions: [(&str, &[u8]); 10] = [
        ("vmcall", &[0x0f, 0x01, 0xc1]),
        ("vmmcall", &[0x0f, 0x01, 0xd9]),
        ("vmlaunch", &[0x0f, 0x01, 0xc2]),
        ("vmrun", &[0x0f, 0x01, 0xd8]),
        ("sysenter", &[0x0f, 0x34]),
        ("sysret", &[0x48, 0x0f, 0x07]),
        ("int 0x80", &[0xcd, 0x80]),
        ("int 0x2e", &[0xcd, 0x2e]),
        ("iretq", &[0x48, 0xcf]),
        ("monitor", &[0x0f, 0x01, 0xc8]),
    ];
    for (name, code) in instructions {
        for choice in modes() {
            let code = [code, &[0x0f, 0x0b]].concat();
            let mut sandbox = sandbox(choice, 1, &elf(&code, b""));
            sandbox.set_timeout(Duration::from_secs(2));
            let outcome = run(&sandbox);
            assert!(matches!(outcome, Outcome::Fault(_)), "{name}: {outcome:?}");
            the_host_is_well(choice);
        }
    }
}

#[test]
fn arithmetic_traps_and_illegal_instructions_have_their_names() {
    expect(&[0x31, 0xc0, 0xf7, 0xf0], EXCEPTION_DIVIDE, libc::SIGFPE, None);
    expect(&[0x0f, 0x0b], EXCEPTION_ILLEGAL, libc::SIGILL, None);
}

#[test]
fn a_breakpoint_ends_the_guest() {
    for choice in modes() {
        let (_, fault) = fault(choice, &[0xcc]);
        let seen = [
            // The gate is closed to ring 3, so it may be a protection fault.
            Cause::Exception(EXCEPTION_PROTECTION),
            Cause::Exception(EXCEPTION_BREAKPOINT),
            Cause::Signal(libc::SIGTRAP),
        ];
        assert!(seen.contains(&fault.cause), "{fault:?}");
    }
}

#[test]
fn string_and_narrow_accesses_to_the_doorbell_end_the_guest() {
    if !modes().contains(&Choice::Kvm) {
        return;
    }
    let doorbell = [0xba, 0x10, 0x05, 0, 0];
    let accesses: [(&str, &[u8]); 5] = [
        ("out dx, al", &[0xee]),
        ("out dx, ax", &[0x66, 0xef]),
        ("in eax, dx", &[0xed]),
        (
            "rep outsd",
            &[0x48, 0xc7, 0xc6, 0, 0, 0xa0, 0x10, 0xb9, 4, 0, 0, 0, 0xf3, 0x6f],
        ),
        (
            "rep insd",
            &[0x48, 0xc7, 0xc7, 0, 0, 0xa0, 0x10, 0xb9, 4, 0, 0, 0, 0xf3, 0x6d],
        ),
    ];
    for (name, code) in accesses {
        let code = [&doorbell, code, &[0x0f, 0x0b]].concat();
        let outcome = run(&sandbox(Choice::Kvm, 1, &elf(&code, b"")));
        let contained = match &outcome {
            Outcome::Fault(fault) => fault.cause != Cause::Exception(EXCEPTION_ILLEGAL),
            // Some kernels deliver a string one piece at a time: then it is an ordinary, empty ring.
            Outcome::Violation(violation) => *violation == Violation::BatchCount(0),
            _ => false,
        };
        assert!(contained, "{name}: {outcome:?}");
        the_host_is_well(Choice::Kvm);
    }
}

#[test]
fn every_system_call_but_three_kills_the_process() {
    // What a hostile guest would try first, then every number that exists or will.
    let tried: [(u32, [u32; 4]); 14] = [
        (2, [RODATA as u32, 0, 0, 0]),
        (41, [2, 1, 0, 0]),
        (57, [0; 4]),
        (59, [RODATA as u32, 0, 0, 0]),
        (101, [0; 4]),
        (62, [std::process::id(), 9, 0, 0]),
        (9, [0, 4096, 7, 0x22]),
        (10, [BASE as u32, 4096, 7, 0]),
        (11, [BASE as u32, 4096, 0, 0]),
        (157, [38, 0, 0, 0]),
        // futex: requeue, and wait with a time limit.
        (202, [HEAP as u32, 3, 1, 0]),
        (202, [HEAP as u32, 0, 0, HEAP as u32]),
        // A call in the x32 numbering.
        (0x4000_0000 + 202, [HEAP as u32, 1, 1, 0]),
        (u32::MAX, [0; 4]),
    ];
    let others = (0..=470).filter(|number| ![60, 202, 231].contains(number));
    for (number, arguments) in tried.into_iter().chain(others.map(|number| (number, [0; 4]))) {
        let code = [&system_call(number, arguments)[..], &[0x0f, 0x0b]].concat();
        let (_, fault) = fault(Choice::Process, &code);
        let killed = fault.cause == Cause::Signal(libc::SIGSYS)
            // The kernel's own trampolines for probes pass every filter, and are illegal from any other place.
            || [335, 336].contains(&number) && fault.cause == Cause::Signal(libc::SIGILL);
        assert!(killed, "{number} {arguments:?}: {fault:?}");
    }
    the_host_is_well(Choice::Process);
}

#[test]
fn a_system_call_leads_nowhere_under_kvm() {
    if modes().contains(&Choice::Kvm) {
        let (_, fault) = fault(Choice::Kvm, &system_call(39, [0; 4]));
        let seen = [
            Cause::Exception(EXCEPTION_ILLEGAL),
            // A software KVM takes it to the entry that was never set: address 0, where nothing is.
            Cause::Exception(EXCEPTION_PAGE),
        ];
        assert!(seen.contains(&fault.cause), "{fault:?}");
    }
}

#[test]
fn a_process_that_ends_by_itself_is_noticed() {
    for number in [60, 231] {
        let start = Instant::now();
        let (_, fault) = fault(Choice::Process, &system_call(number, [5, 0, 0, 0]));
        assert_eq!(fault.cause, Cause::Ended(5));
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn an_endless_loop_ends_within_100_ms_of_its_time() {
    for choice in modes() {
        for lanes in [1, 2, 4] {
            let mut sandbox = sandbox(choice, lanes, &elf(&[0xeb, 0xfe], b""));
            sandbox.set_timeout(Duration::from_millis(50));
            let start = Instant::now();
            let outcome = run(&sandbox);
            assert!(matches!(outcome, Outcome::TimedOut), "{outcome:?}");
            let took = start.elapsed();
            assert!(
                (50..150 + SLACK).contains(&took.as_millis()),
                "{choice:?} {lanes}: {took:?}"
            );
        }
        the_host_is_well(choice);
    }
}

#[test]
fn work_for_one_lane_ends_when_another_breaks_the_contract() {
    for choice in modes() {
        let sandbox = sandbox(choice, 2, &ringer());
        let sign = sandbox.stop_sign();
        let busy = std::sync::atomic::AtomicBool::new(false);
        let start = Instant::now();
        let serve = |lane| {
            use std::sync::atomic::Ordering;
            while lane == 0 && !busy.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            if lane == 0 {
                return Next::Kill(Violation::BatchCount(0));
            }
            busy.store(true, Ordering::SeqCst);
            while !sign.is_up() && start.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Next::Continue
        };
        let outcome = sandbox.run(&serve, &|| Ok(()));
        assert!(
            matches!(outcome, Outcome::Violation(Violation::BatchCount(0))),
            "{outcome:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

/// What a machine that runs other tests at the same time may add.
const SLACK: u128 = 150;

#[test]
fn a_run_is_cancelled_within_100_ms_from_another_thread_and_before_it_begins() {
    for choice in modes() {
        for lanes in [1, 3] {
            let sandbox_here = sandbox(choice, lanes, &elf(&[0xeb, 0xfe], b""));
            let canceller = sandbox_here.canceller();
            let moment = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(30));
                let moment = Instant::now();
                canceller.cancel();
                moment
            });
            let outcome = run(&sandbox_here);
            let took = moment.join().unwrap().elapsed();
            assert!(matches!(outcome, Outcome::Cancelled), "{outcome:?}");
            assert!(took.as_millis() < 100 + SLACK, "{choice:?} {lanes}: {took:?}");
        }
        let sandbox = sandbox(choice, 2, &elf(&[0xeb, 0xfe], b""));
        sandbox.canceller().cancel();
        assert!(matches!(run(&sandbox), Outcome::Cancelled));
    }
}

#[test]
fn a_fault_on_one_lane_ends_all() {
    // test edi, edi; jz loop; ud2; loop: jmp loop
    let code = [0x85, 0xff, 0x74, 0x02, 0x0f, 0x0b, 0xeb, 0xfe];
    for choice in modes() {
        let sandbox = sandbox(choice, 4, &elf(&code, b""));
        let outcome = run(&sandbox);
        assert!(matches!(outcome, Outcome::Fault(_)), "{outcome:?}");
    }
}

#[test]
fn last_words_are_bounded_whatever_length_they_claim() {
    for (claimed, expected) in [(1, 1), (4092, 4092), (4093, 4092), (u32::MAX, 4092)] {
        // mov [LAST_WORDS], claimed; ud2
        let code = [
            &[0xc7, 0x04, 0x25][..],
            &(LAST_WORDS as u32).to_le_bytes(),
            &claimed.to_le_bytes(),
            &[0x0f, 0x0b],
        ]
        .concat();
        for choice in modes() {
            let outcome = run(&sandbox(choice, 1, &elf(&code, b"")));
            assert!(
                matches!(&outcome, Outcome::Panicked(words) if words.len() == expected),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn a_false_doorbell_is_a_violation() {
    for value in [2_u32, 3, u32::MAX] {
        // mov [mailbox], value; loop
        let code = [
            &[0xc7, 0x04, 0x25][..],
            &(MAILBOXES as u32).to_le_bytes(),
            &value.to_le_bytes(),
            &[0xeb, 0xfe],
        ]
        .concat();
        let start = Instant::now();
        let outcome = run(&sandbox(Choice::Process, 1, &elf(&code, b"")));
        assert!(
            matches!(outcome, Outcome::Violation(Violation::Other(_))),
            "{outcome:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn an_invalid_batch_is_a_violation() {
    for count in [0, BATCH as u32 + 1, 1 << 31, u32::MAX] {
        let batch = Batch {
            count,
            requests: vec![EXIT],
        };
        for choice in modes() {
            let outcome = run(&sandbox(choice, 1, &player(std::slice::from_ref(&batch))));
            assert!(
                matches!(outcome, Outcome::Violation(Violation::BatchCount(seen)) if seen == count),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn a_request_that_would_write_to_code_is_a_violation_and_code_stays() {
    let batches = [Batch::of(&[RawRequest {
        op: Op::READ.0,
        address: BASE,
        length: 64,
        ..EXIT
    }])];
    let elf = player(&batches);
    for choice in modes() {
        let sandbox = sandbox(choice, 1, &elf);
        let outcome = Engine::new(&[0xcc; 4096]).run(&sandbox);
        let expected = Violation::BadRequest(BadRequest::Address(BASE));
        assert!(
            matches!(outcome, Outcome::Violation(seen) if seen == expected),
            "{outcome:?}"
        );
        assert_code_is(&sandbox, &elf);
    }
}

/// The engine of these tests writes where it is told: the memory itself knows what the plan lets the guest write.
#[test]
fn bytes_are_copied_only_to_pages_that_the_guest_may_write_to() {
    for choice in modes() {
        let sandbox = sandbox(choice, 2, &player(&[Batch::of(&[EXIT])]));
        let memory = std::sync::Arc::clone(sandbox.memory());
        assert!(memory.may_be_written(BACKEND - BASE, 16), "before the run");
        // The second lane scribbles into the first one's mailbox: it may spoil the request to exit.
        let outcome = run(&sandbox);
        let ended = matches!(outcome, Outcome::Exited | Outcome::Violation(_));
        assert!(ended, "{outcome:?}");
        for (address, writable) in [
            (BASE, false),
            (RODATA, false),
            (DATA, true),
            (STACKS, false),
            (STACKS + 8192, true),
            (STACKS + STACK_STRIDE + 8192, true),
            (STACKS + 2 * STACK_STRIDE + 8192, false),
            (instar_abi::layout::CONTROL, false),
            (MAILBOXES, true),
            (MAILBOXES + (32 << 10), true),
            (MAILBOXES + (64 << 10), false),
            (LAST_WORDS, true),
            (BACKEND, false),
            (BACKEND + 4096, false),
            (JOB - 4096, false),
            (JOB, false),
            (SECRETS - 16, false),
            (SECRETS, true),
            (HEAP, true),
            (HEAP + (4 << 20), true),
        ] {
            assert_eq!(
                memory.may_be_written(address - BASE, 16),
                writable,
                "{address:#x}"
            );
            assert_eq!(
                memory.write(address - BASE, &[0; 16]).is_ok(),
                writable,
                "{address:#x}"
            );
        }
    }
}

/// A process has no clock. Under KVM it has none where the hypervisor keeps to what it was told: some software ones do not, and
/// `instar sandbox` says so.
#[test]
fn the_clock_of_the_processor_is_out_of_reach_in_a_process() {
    // rdtsc; ud2
    let code = [0x0f, 0x31, 0x0f, 0x0b];
    for choice in modes() {
        let (mode, fault) = fault(choice, &code);
        match mode {
            Mode::Process => assert_eq!(fault.cause, Cause::Signal(libc::SIGSEGV)),
            Mode::Kvm => {
                let refused = fault.cause == Cause::Exception(EXCEPTION_PROTECTION);
                assert_eq!(instar_sandbox::has_clock(Choice::Kvm).unwrap(), !refused);
                if !refused {
                    println!("this machine's KVM lets ring 3 read the clock: {fault}");
                }
            }
        }
    }
    assert!(!instar_sandbox::has_clock(Choice::Process).unwrap());
}

fn assert_code_is(sandbox: &instar_sandbox::Sandbox, elf: &[u8]) {
    let mut code = vec![0; 256];
    sandbox.memory().read(0, &mut code).unwrap();
    assert_eq!(code, elf[4096..4096 + 256]);
}

/// A generator whose numbers are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A value that is often at an edge.
    fn value(&mut self) -> u64 {
        match self.next() % 8 {
            0 => 0,
            1 => u64::MAX - self.next() % 4,
            2 => BASE + self.next() % 8192,
            3 => HEAP + self.next() % (1 << 20),
            4 => 1 << (self.next() % 64),
            5 => BASE + instar_abi::layout::DEFAULT_BYTES - self.next() % 8192,
            6 => self.next() % 8192,
            _ => self.next(),
        }
    }

    fn request(&mut self) -> RawRequest {
        let small = |random: &mut Self| u32::try_from(random.next() % 5).unwrap();
        RawRequest {
            // Every operation that exists, and one on each side.
            op: u32::try_from(self.next() % u64::from(Op::SEND.0 + 2)).unwrap(),
            flags: small(self),
            slot: small(self),
            other: small(self),
            offset: self.value(),
            other_offset: self.value(),
            length: self.value(),
            address: self.value(),
            extra: if self.next().is_multiple_of(2) {
                0
            } else {
                self.value()
            },
            reserved: u64::from(self.next().is_multiple_of(64)),
        }
    }
}

#[test]
fn random_traffic_ends_in_an_outcome_and_never_in_the_host() {
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut outcomes = [0; 3];
    for _ in 0..150 {
        let batches: Vec<Batch> = (0..20)
            .map(|_| {
                let length = 1 + random.next() % 4;
                Batch::of(&(0..length).map(|_| random.request()).collect::<Vec<_>>())
            })
            .collect();
        let elf = player(&batches);
        for choice in modes() {
            let mut sandbox = sandbox(choice, 1, &elf);
            // A Wait for a word that never changes is an endless sleep.
            sandbox.set_timeout(Duration::from_millis(500));
            match Engine::new(&[0xee; 8192]).run(&sandbox) {
                Outcome::Violation(_) => outcomes[0] += 1,
                Outcome::Exited => outcomes[1] += 1,
                Outcome::TimedOut | Outcome::Fault(_) => outcomes[2] += 1,
                other => panic!("{other:?}"),
            }
            assert_code_is(&sandbox, &elf);
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn requests_rewritten_while_they_are_served_reach_nothing_that_they_may_not() {
    let read = RawRequest {
        op: Op::READ.0,
        address: HEAP,
        length: 4096,
        ..EXIT
    };
    let batches = vec![Batch::of(&[read; 8]); 300];
    let elf = player(&batches);
    let mut rewritten = 0;
    for choice in modes() {
        for _ in 0..20 {
            let mut sandbox = sandbox(choice, 3, &elf);
            sandbox.set_timeout(Duration::from_secs(5));
            let engine = Engine::new(&[0xcc; 4096]);
            let outcome = engine.run(&sandbox);
            assert!(
                matches!(
                    outcome,
                    Outcome::Violation(_) | Outcome::Fault(_) | Outcome::Exited
                ),
                "{choice:?}: {outcome:?}"
            );
            rewritten += usize::from(matches!(outcome, Outcome::Violation(_)));
            assert_code_is(&sandbox, &elf);
        }
        the_host_is_well(choice);
    }
    assert!(rewritten > 0, "the race was never won, so nothing was shown");
}
