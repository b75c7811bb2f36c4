//! Command lines that are wrong, beside the reference tool: what both print and return has to be the same to the byte.

#![allow(clippy::unwrap_used, reason = "tests: a failure here is a test failure")]

mod support;

use support::{Room, reference_is_here};

/// Wrong whatever files there are.
const LINES: &[&str] = &[
    "",
    "foo",
    "-x",
    "--foo",
    "--trace",
    "-T",
    "--vers=3",
    "info",
    "info a b",
    "info a b c",
    "info --foo",
    "info --foo=bar x",
    "info -x a",
    "info -Ux a",
    "info -f",
    "info --format",
    "info --output",
    "info --output=xml x",
    "info --output xml x",
    "info --output= x",
    "info x --output=JSON",
    "info --help=3",
    "info -U=3 x",
    "info --o x",
    "info --f x",
    "info --fo=raw x",
    "info --b=1 x",
    "info -- -x y",
    "info --object foo x",
    "info --object secret,data=x x",
    "info --object secret,id=a x",
    "info --object secret,id=a,data=x,file=y x",
    "info --image-opts -f raw x",
    "info --image-opts -f raw",
    "info --image-opts x",
    "info --image-opts driver=qcow2",
    "info --image-opts driver=foo,file.filename=x",
    "info --image-opts driver=qcow2,file.driver=foo,file.filename=x",
    "info --image-opts filename=x",
    "info --image-opts driver=qcow2,file.driver=file",
    "info -U --image-opts driver=qcow2,force-share=off,file.filename=here.raw",
    "info json:[]",
    "info json:{\"driver\":\"qcow2\"}",
    "info json:{\"driver\":\"qcow2\",\"file\":\"foo\"}",
    "info foo:bar",
    "info -f foo x",
    "info missing",
    "info ./foo:bar",
    "info file:missing",
    "info file:",
    "info -f qcow2 missing",
    "info --image-opts driver=qcow2,file.filename=missing",
    "info --image-opts driver=qcow2,file.filename=mis,,sing",
    "info -- -x",
    "info .",
    "convert",
    "convert a",
    "convert --foo a b",
    "convert -z a b",
    "convert --b a b",
    "convert --s a b",
    "convert --t a b",
    "convert --o a b",
    "convert --p",
    "convert --m a b",
    "convert --r",
    "convert -pcn- a b",
    "convert -l",
    "convert -S 3 a b",
    "convert -S x a b",
    "convert -S 1.5 a b",
    "convert -S -1 a b",
    "convert -S 8E a b",
    "convert -S 16777728 a b",
    "convert -m 0 a b",
    "convert -m 17 a b",
    "convert -m x a b",
    "convert -m 2k a b",
    "convert -m -1 a b",
    "convert -r x a b",
    "convert -r -1 a b",
    "convert -S x --foo",
    "convert --foo -S x",
    "convert -T foo a b",
    "convert -T foo a",
    "convert -C -c a b",
    "convert -C -S 4k a b",
    "convert -C --salvage a b",
    "convert --target-image-opts a b",
    "convert --target-is-zero a b",
    "convert -n -o a=b a b",
    "convert --skip-broken-bitmaps a b",
    "convert -c -C --skip-broken-bitmaps a b",
    "convert -o , a b",
    "convert -o a, a b",
    "convert -o ,a a b",
    "convert -o a=1 -o , a b",
    "convert -l snapshot.foo=9 a b",
    "convert -o help -O foo a b",
    "convert --image-opts -f raw a b",
    "convert missing b",
    "convert a missing b",
    "convert -f foo here.raw out",
    "convert here.raw foo:bar",
    "convert -O foo here.raw out",
    "convert -O bochs here.raw out",
    "convert -O raw -o foo=1 here.raw out",
    "convert -O raw -o nocow here.raw out",
    "convert -O raw -o nocow=x here.raw out",
    "convert -O raw -o cluster_size=1 here.raw out",
    "convert -O raw -o preallocation=metadata here.raw out",
    "convert -O qcow2 -o foo=1 here.raw out",
    "convert -O qcow2 -o a,b here.raw out",
    "convert -O qcow2 -o a,,b=3 here.raw out",
    "convert -O qcow2 -o =3 here.raw out",
    "convert -O qcow2 -o cluster_size=3 here.raw out",
    "convert -O qcow2 -o cluster_size=x here.raw out",
    "convert -O qcow2 -o cluster_size=-1 here.raw out",
    "convert -O qcow2 -o cluster_size=4M here.raw out",
    "convert -O qcow2 -o cluster_size=0 here.raw out",
    "convert -O qcow2 -o lazy_refcounts=maybe here.raw out",
    "convert -O qcow2 -o compat=2 here.raw out",
    "convert -O qcow2 -o compat=0.10,lazy_refcounts=on here.raw out",
    "convert -O qcow2 -o compat=v2,refcount_bits=8 here.raw out",
    "convert -O qcow2 -o compat=v2,extended_l2=on here.raw out",
    "convert -O qcow2 -o extended_l2=on,cluster_size=8k here.raw out",
    "convert -O qcow2 -o refcount_bits=3 here.raw out",
    "convert -O qcow2 -o refcount_bits=128 here.raw out",
    "convert -O qcow2 -o refcount_bits=x here.raw out",
    "convert -O qcow2 -o refcount_bits=2k here.raw out",
    "convert -O qcow2 -o refcount_bits=-1 here.raw out",
    "convert -O qcow2 -o refcount_bits=99999999999999999999 here.raw out",
    "convert -O qcow2 -o preallocation=x here.raw out",
    "convert -O qcow2 -o compression_type=x here.raw out",
    "convert -O qcow2 -o compression_type=zstd,compat=0.10 here.raw out",
    "convert -O qcow2 -o backing_fmt=raw here.raw out",
    "convert -O qcow2 -o backing_file=base.raw here.raw out",
    "convert -O qcow2 -o backing_file=base.raw,backing_fmt=foo here.raw out",
    "convert -O qcow2 -o data_file_raw=on here.raw out",
    "convert -O qcow2 -o data_file=dd.raw,compat=v2 here.raw out",
    "convert -O qcow2 -o data_file=dd.raw,backing_file=base.raw,backing_fmt=raw,data_file_raw=on here.raw out",
    "convert -O qcow2 -o size=x here.raw out",
    "convert -O qcow2 -o extent_size_hint=4G here.raw out",
    "convert -O qcow2 -o preallocation=metadata,backing_file=base.raw,backing_fmt=raw here.raw out",
    "convert -O qcow2 -B base.raw here.raw out",
    "convert -O qcow2 -B base.raw -F foo here.raw out",
    "convert -O qcow2 -F raw here.raw out",
    "convert -O raw -B base.raw here.raw out",
    "convert -O raw -F raw here.raw out",
    "convert -O vpc -B base.raw -F raw here.raw out",
    "convert -O qcow2 -B base.raw -F raw here.raw here.raw out",
    "convert -O qcow2 here.raw nodir/out",
    "convert -O raw here.raw nodir/out",
    "convert -c -O raw here.raw out",
    "convert -c -O vdi here.raw out",
    "convert -c -O qcow2 -o preallocation=metadata here.raw out",
    "convert -c -O qcow2 -o encryption=on here.raw out",
    "convert -t foo here.raw out",
    "convert -t= here.raw out",
    "convert -n here.raw missing",
    "convert -l a here.raw here.raw out",
    "convert -p missing out",
    "convert -O vmdk -o subformat=x here.raw out",
    "convert -O vmdk -o subformat=monolithicsparse here.raw out",
    "convert -O vmdk -o adapter_type=x here.raw out",
    "convert -O vmdk -o compat6=on,hwversion=6 here.raw out",
    "convert -O vmdk -o subformat=monolithicFlat,zeroed_grain=on here.raw out",
    "convert -O vmdk -o backing_file=base.raw,backing_fmt=raw here.raw out",
    "convert -O vpc -o subformat=x here.raw out",
    "convert -O vpc -o force_size=x here.raw out",
    "convert -O vhdx -o subformat=x here.raw out",
    "convert -O vhdx -o block_size=3M here.raw out",
    "convert -O vhdx -o log_size=4G here.raw out",
    "convert -O vhdx -o block_size=x here.raw out",
    "convert -O vdi -o static=x here.raw out",
    "convert -O vdi -o preallocation=metadata here.raw out",
    "dd",
    "dd if=a",
    "dd of=a",
    "dd foo",
    "dd foo=1",
    "dd if",
    "dd if of=a",
    "dd =x if=a of=b",
    "dd bs",
    "dd bs= if=a of=b",
    "dd bs=0 if=a of=b",
    "dd bs=2147483648 if=a of=b",
    "dd bs=-1 if=a of=b",
    "dd bs=1Z if=a of=b",
    "dd bs=1.5 if=a of=b",
    "dd count=x if=a of=b",
    "dd count=08 if=a of=b",
    "dd count=1k if=a of=b",
    "dd count=-1 if=a of=b",
    "dd count=9223372036854775808 if=a of=b",
    "dd skip=-1 if=a of=b",
    "dd skip=1k if=a of=b",
    "dd bs=x foo",
    "dd foo bs=x",
    "dd if=a iflag=direct of=b",
    "dd -q if=a of=b",
    "dd -n if=a of=b",
    "dd --f if=a of=b",
    "dd if=missing of=b",
    "dd if= of=b",
    "dd if=missing of=b -O foo",
    "dd -f raw --image-opts if=here.raw of=out",
    "dd -f foo if=here.raw of=out",
    "dd if=here.raw of=out -O foo",
    "dd if=here.raw of=out -O bochs",
    "dd if=here.raw of=nodir/out",
    "dd if=here.raw of=nodir/out -O qcow2",
    "dd if=here.raw of=",
];

#[test]
fn wrong_command_lines_get_the_reference_tools_words() {
    if !reference_is_here() {
        return;
    }
    let room = Room::new();
    room.write("here.raw", &[7; 4096]);
    room.write("base.raw", &[8; 4096]);
    let mut differing = Vec::new();
    for line in LINES {
        let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        differing.extend(room.differences(&words));
        let _ = std::fs::remove_file(room.path("out"));
    }
    assert!(
        differing.is_empty(),
        "{} of {} differ:\n{}",
        differing.len(),
        LINES.len(),
        differing.join("")
    );
}

/// Words that a line split at blanks cannot hold.
#[test]
fn empty_and_odd_words_get_the_reference_tools_words() {
    if !reference_is_here() {
        return;
    }
    let room = Room::new();
    for words in [
        &["info", ""][..],
        &["convert", "-S", "", "a", "b"],
        &["convert", "-o", "", "a", "b"],
        &["convert", "-S", " 3", "a", "b"],
        &["dd", "", "if=a", "of=b"],
        &["info", "--output", "", "x"],
        &["info", "näme"],
        &["info", "--image-opts", ""],
    ] {
        assert_eq!(room.differences(words), None);
    }
}

#[test]
fn the_environment_can_end_options_at_the_first_operand() {
    if !reference_is_here() {
        return;
    }
    let room = Room::new();
    let output = |program: &str| {
        room.command(std::path::Path::new(program), &["info", "missing", "--foo"])
            .env("POSIXLY_CORRECT", "1")
            .output()
            .unwrap()
    };
    let (theirs, ours) = (output(support::REFERENCE), output(env!("CARGO_BIN_EXE_instar")));
    assert_eq!(
        String::from_utf8_lossy(&theirs.stderr),
        String::from_utf8_lossy(&ours.stderr)
    );
    assert_eq!(theirs.status.code(), ours.status.code());
}
