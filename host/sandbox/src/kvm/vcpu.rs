//! The state of a vCPU before its first instruction: long mode, ring 3, interrupts off.

use std::arch::x86_64::{__cpuid_count, CpuidResult};

use instar_abi::layout::stack_top;
use kvm_bindings::{
    CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2, kvm_regs, kvm_segment, kvm_sregs, kvm_xcr,
    kvm_xcrs,
};
use kvm_ioctls::VcpuFd;

use super::tables::{GDT, GDT_LIMIT, IDT, IDT_LIMIT, ROOT, SYSTEM, TASK_LIMIT, USER_CODE, USER_DATA, task};

/// Sets the vCPU of `lane` to the guest's entry.
pub(super) fn set_up(vcpu: &VcpuFd, lane: u32, entry: u64, cpuid: &CpuId) -> Result<(), kvm_ioctls::Error> {
    vcpu.set_cpuid2(cpuid)?;
    let mut sregs = vcpu.get_sregs()?;
    special_registers(&mut sregs, lane);
    vcpu.set_sregs(&sregs)?;
    if cpuid_has_avx(cpuid) {
        vcpu.set_xcrs(&xcr0())?;
    }
    vcpu.set_regs(&kvm_regs {
        rip: entry,
        rsp: stack_top(lane),
        rdi: u64::from(lane),
        rflags: 2,
        ..kvm_regs::default()
    })
}

fn special_registers(sregs: &mut kvm_sregs, lane: u32) {
    let code = kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector: USER_CODE,
        type_: 0xb,
        present: 1,
        dpl: 3,
        db: 0,
        s: 1,
        l: 1,
        g: 1,
        ..kvm_segment::default()
    };
    let data = kvm_segment {
        selector: USER_DATA,
        type_: 0x3,
        db: 1,
        l: 0,
        ..code
    };
    sregs.cs = code;
    for segment in [
        &mut sregs.ss,
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.fs,
        &mut sregs.gs,
    ] {
        *segment = data;
    }
    // Busy, 64 bits. Its I/O bitmap is what opens the doorbell.
    sregs.tr = kvm_segment {
        base: task(lane),
        limit: TASK_LIMIT,
        selector: 5 << 3,
        type_: 0xb,
        present: 1,
        ..kvm_segment::default()
    };
    sregs.gdt.base = GDT;
    sregs.gdt.limit = GDT_LIMIT;
    sregs.idt.base = IDT;
    sregs.idt.limit = IDT_LIMIT;
    sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    sregs.cr3 = ROOT;
    sregs.cr4 = CR4_TSD | CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    sregs.efer = EFER_LME | EFER_LMA | EFER_NXE;
    const { assert!(ROOT == SYSTEM) };
}

/// x87, SSE and AVX state, and nothing newer.
fn xcr0() -> kvm_xcrs {
    let mut xcrs = kvm_xcrs {
        nr_xcrs: 1,
        ..kvm_xcrs::default()
    };
    xcrs.xcrs[0] = kvm_xcr {
        xcr: 0,
        value: 7,
        ..kvm_xcr::default()
    };
    xcrs
}

/// The processor features that the guest sees: those of the host that code at ring 3 may use, and no others.
///
/// Not what KVM calls supported: a software KVM leaves AVX2 and AES out although they work.
pub(super) fn cpuid() -> Option<CpuId> {
    let leaf = |function: u32| __cpuid_count(function, 0);
    let one = leaf(1);
    let extended = leaf(0x8000_0001);
    let mut entries = vec![
        entry(0, leaf(0), |leaf| leaf.eax = 0xd),
        entry(1, one, |leaf| {
            leaf.ebx &= 0x00ff_ff00;
            leaf.ecx &= LEAF1_ECX;
            leaf.edx &= LEAF1_EDX;
        }),
        entry(7, leaf(7), |leaf| {
            leaf.eax = 0;
            leaf.ebx &= LEAF7_EBX;
            leaf.ecx &= LEAF7_ECX;
            leaf.edx &= LEAF7_EDX;
        }),
        entry(0x8000_0000, leaf(0x8000_0000), |leaf| leaf.eax = 0x8000_0008),
        entry(0x8000_0001, extended, |leaf| {
            leaf.ebx = 0;
            leaf.ecx &= EXTENDED_ECX;
            leaf.edx &= EXTENDED_EDX;
        }),
        entry(0x8000_0008, leaf(0x8000_0008), |leaf| {
            (leaf.ebx, leaf.ecx, leaf.edx) = (0, 0, 0);
        }),
    ];
    if one.ecx & AVX != 0 {
        // The standard format: 512 bytes of x87 and SSE, a header of 64, then 256 of AVX.
        let sizes = CpuidResult {
            eax: 7,
            ebx: 832,
            ecx: 832,
            edx: 0,
        };
        entries.push(entry(0xd, sizes, |_| {}));
        let avx = CpuidResult {
            eax: 256,
            ebx: 576,
            ecx: 0,
            edx: 0,
        };
        let mut avx = entry(0xd, avx, |_| {});
        avx.index = 2;
        entries.push(avx);
    }
    CpuId::from_entries(&entries).ok()
}

fn entry(function: u32, mut leaf: CpuidResult, edit: impl FnOnce(&mut CpuidResult)) -> kvm_cpuid_entry2 {
    edit(&mut leaf);
    kvm_cpuid_entry2 {
        function,
        index: 0,
        flags: if matches!(function, 7 | 0xd) {
            KVM_CPUID_FLAG_SIGNIFCANT_INDEX
        } else {
            0
        },
        eax: leaf.eax,
        ebx: leaf.ebx,
        ecx: leaf.ecx,
        edx: leaf.edx,
        ..kvm_cpuid_entry2::default()
    }
}

fn cpuid_has_avx(cpuid: &CpuId) -> bool {
    cpuid
        .as_slice()
        .iter()
        .any(|entry| entry.function == 1 && entry.ecx & AVX != 0)
}

const CR0_PE: u64 = 1;
const CR0_MP: u64 = 1 << 1;
const CR0_ET: u64 = 1 << 4;
const CR0_NE: u64 = 1 << 5;
const CR0_WP: u64 = 1 << 16;
const CR0_PG: u64 = 1 << 31;
/// No clock for ring 3.
const CR4_TSD: u64 = 1 << 2;
const CR4_PAE: u64 = 1 << 5;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CR4_OSXSAVE: u64 = 1 << 18;
/// No SCE: `syscall` is an illegal instruction.
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
const EFER_NXE: u64 = 1 << 11;

const AVX: u32 = 1 << 28;
/// SSE3, PCLMULQDQ, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, XSAVE, OSXSAVE, AVX, F16C, RDRAND.
const LEAF1_ECX: u32 = 0x7ed8_3203;
/// FPU, PSE, TSC, MSR, PAE, CX8, PGE, CMOV, PAT, CLFSH, MMX, FXSR, SSE, SSE2.
const LEAF1_EDX: u32 = 0x0789_a179;
/// BMI1, AVX2, BMI2, ERMS, ADX, SHA.
const LEAF7_EBX: u32 = 0x2008_0328;
/// GFNI, VAES, VPCLMULQDQ.
const LEAF7_ECX: u32 = 0x0000_0700;
/// FSRM.
const LEAF7_EDX: u32 = 0x0000_0010;
/// LAHF, ABM, SSE4A, PREFETCHW.
const EXTENDED_ECX: u32 = 0x0000_0161;
/// NX, LM.
const EXTENDED_EDX: u32 = 0x2010_0000;
