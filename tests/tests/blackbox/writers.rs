//! Files as other programs write them: the test puts the peculiarity of each program into an image made by qemu-img, and both
//! readers must then see the same disk.

use std::fs;
use std::os::unix::fs::FileExt;

use instar_tests::compare::{agree, same_bytes};
use instar_tests::disk;
use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::{Bench, Outcome, both_sandboxes};

const MIB: u64 = 1 << 20;
const DESCRIPTOR: u64 = 512;

/// The same image as for the deviations, to be edited.
fn made(bench: &Bench, format: &str, options: &str) -> Edited {
    crate::deviating::made(bench, format, options);
    Edited::open(&bench.path("image"))
}

/// The text of the descriptor inside `image`.
fn text_of(image: &Edited) -> String {
    let text = image.get(DESCRIPTOR, 1024);
    let end = text.iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(text[..end].to_vec()).unwrap()
}

/// Puts another text in its place.
fn put_text(image: &Edited, text: &str) {
    image.put(DESCRIPTOR, &[0; 1024]).put(DESCRIPTOR, text.as_bytes());
}

/// Both read `disk.raw` from `image`, and say the same of it.
#[track_caller]
fn all_agree(bench: &Bench, format: &str, what: &str) {
    for target in ["theirs", "ours"] {
        let words = ["convert", "-f", format, "-O", "raw", "image", target];
        let outcome = if target == "ours" {
            bench.instar(words)
        } else {
            bench.qemu(words)
        };
        assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
        same_bytes(bench, "disk.raw", target, what);
    }
    for words in [
        ["info", "-f", format, "--output=json", "image"].as_slice(),
        &["map", "-f", format, "--output=json", "image"],
        &["measure", "-f", format, "-O", "qcow2", "image"],
    ] {
        agree(bench, words, what);
    }
}

/// Writes into an image with QEMU's own tool.
fn write(bench: &Bench, format: &str, image: &str, command: &str) {
    bench.qemu_io(["-f", format, "-c", command, image]).succeeds();
}

/// A descriptor of one flat extent, `flat`, which is `disk.raw`.
const FLAT: &str = "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=1763156d\nparentCID=ffffffff\ncreateType=\"vmfs\"\n\n\
    # Extent description\nRW 12288 VMFS \"flat\"\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n";

/// `image`, a descriptor of this text, and its extent.
fn flat(bench: &Bench, text: &[u8]) {
    if !bench.path("flat").exists() {
        made(bench, "vmdk", "");
        fs::copy(bench.path("disk.raw"), bench.path("flat")).unwrap();
    }
    fs::write(bench.path("image"), text).unwrap();
}

/// The footer's place in a stream that gets one: header, markers and footer as the specification has them.
fn with_footer(image: &Edited) -> u64 {
    let (end, header) = (image.end().next_multiple_of(512), image.get(0, 512));
    let mut marker = [0; 512];
    marker[12] = 3;
    image
        .put(end, &marker)
        .put(end + 512, &header)
        .put(end + 1024, &[0; 512])
        .put(56, &u64::MAX.to_le_bytes());
    end + 512
}

/// A zlib stream that packs nothing: stored blocks only.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = bytes.chunks(65535);
    let last = blocks.len() - 1;
    for (index, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        stream.push(u8::from(index == last));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    // Sums of so many bytes do not overflow.
    let (mut low, mut high) = (1_u32, 0_u32);
    for part in bytes.chunks(4096) {
        for byte in part {
            low += u32::from(*byte);
            high += low;
        }
        (low, high) = (low % 65521, high % 65521);
    }
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}

/// A stream of grains of 32 MiB, the largest that are read, by the specification of VMware.
fn stream_of_large_grains(grains: &[Vec<u8>]) -> Vec<u8> {
    const SECTORS: u64 = 65536;
    let mut file = vec![0; 128 * 512];
    let capacity = SECTORS * grains.len() as u64;
    let mut table = vec![0_u8; 2048];
    for (index, grain) in grains.iter().enumerate() {
        let sector = u32::try_from(file.len() / 512).unwrap();
        table[4 * index..][..4].copy_from_slice(&sector.to_le_bytes());
        let stream = stored(grain);
        file.extend((SECTORS * index as u64).to_le_bytes());
        file.extend(u32::try_from(stream.len()).unwrap().to_le_bytes());
        file.extend(stream);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    let tables = file.len() as u64 / 512;
    file.extend(table);
    let directory = file.len() as u64 / 512;
    file.extend(u32::try_from(tables).unwrap().to_le_bytes());
    file.resize(file.len().next_multiple_of(512), 0);
    file[..4].copy_from_slice(b"KDMV");
    file[4..8].copy_from_slice(&3_u32.to_le_bytes());
    file[8..12].copy_from_slice(&0x0003_0001_u32.to_le_bytes());
    for (at, value) in [(12, capacity), (20, SECTORS), (28, 1), (36, 20), (56, directory), (64, 128)] {
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    file[44..48].copy_from_slice(&512_u32.to_le_bytes());
    file[73..77].copy_from_slice(b"\n \r\n");
    file[77] = 1;
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\nRDONLY {capacity} SPARSE \"x\"\n"
    );
    file[512..512 + text.len()].copy_from_slice(text.as_bytes());
    file
}

both_sandboxes!(
    grains_of_32_mebibytes_fit_into_the_usual_memory,
    read_only_streams_are_read,
    the_header_decides_whatever_the_descriptor_inside_calls_the_layout,
    a_footer_with_another_overhead_or_without_descriptor_is_read,
    omitted_line_end_characters_are_not_a_text_mode_transfer,
    content_ids_in_decimal_and_longer_than_eight_digits_are_read,
    a_parent_of_no_parent_may_be_zero,
    harmless_descriptor_lines_are_ignored,
    a_missing_extent_line_is_named_as_such,
    an_overlay_whose_parent_has_changed_is_mapped_and_not_read,
    a_snapshot_of_virtualbox_is_read_with_its_parent_or_not_at_all,
    an_extent_after_a_blank_line_is_one_extent,
    a_content_id_is_found_after_that_of_the_parent,
    unknown_flags_of_a_vmdk_are_refused,
    a_disk_of_more_than_a_thousand_extents_is_read_and_made,
    a_disk_in_more_pieces_than_the_soft_limit_on_open_files_is_made_and_read,
    the_map_of_a_fixed_vhd_is_that_of_qemu_img,
    a_block_of_a_vhdx_in_an_unknown_state_matters_when_it_is_read,
    fixed_lengths_of_vhdx_metadata_are_not_checked,
    a_vdi_without_blocks_is_read_wherever_its_data_would_be,
);

fn grains_of_32_mebibytes_fit_into_the_usual_memory(bench: &Bench) {
    let grains: Vec<Vec<u8>> = (0..2).map(|seed| disk::pattern(0, MIB, seed).repeat(32)).collect();
    fs::write(bench.path("image"), stream_of_large_grains(&grains)).unwrap();
    fs::write(bench.path("disk.raw"), grains.concat()).unwrap();
    drop(grains);
    bench.qemu(["compare", "image", "disk.raw"]).succeeds();
    for target in ["raw", "qcow2"] {
        bench.instar(["convert", "-O", target, "image", "ours"]).succeeds();
        bench.qemu(["compare", "ours", "disk.raw"]).succeeds();
        fs::remove_file(bench.path("ours")).unwrap();
    }
    bench.instar(["convert", "-c", "-O", "qcow2", "image", "ours"]).succeeds();
    bench.instar(["compare", "image", "disk.raw"]).succeeds();
    assert_eq!(
        bench.instar(["checksum", "image"]).succeeds().text().split(' ').next(),
        bench.instar(["checksum", "disk.raw"]).succeeds().text().split(' ').next()
    );
    bench.instar(["dd", "if=image", "of=part", "bs=1M", "skip=63"]).succeeds();
    let part = fs::read(bench.path("part")).unwrap();
    assert!(part == fs::read(bench.path("disk.raw")).unwrap()[63 << 20..]);
}

fn read_only_streams_are_read(bench: &Bench) {
    // VMware's and VirtualBox's exports, vmdktool and vmdkstream; the name is that of a file that never was.
    for line in [
        "RDONLY 12288 SPARSE \"call-me-stream.vmdk\"",
        "RDONLY 12288 SPARSE \"image\"",
        "NOACCESS 12288 SPARSE \"x\"",
    ] {
        let image = made(bench, "vmdk", "subformat=streamOptimized");
        let text = text_of(&image).replace("RW 12288 SPARSE \"image\"", line);
        assert!(text.contains(line));
        put_text(&image, &text);
        all_agree(bench, "vmdk", line);
        bench.instar(["check", "image"]).is_civil();
        bench.instar(["info", "--safety", "image"]).succeeds();
    }
}

fn the_header_decides_whatever_the_descriptor_inside_calls_the_layout(bench: &Bench) {
    let line = "RW 12288 SPARSE \"image\"\n";
    for (from, to) in [
        (line, ""),
        (line, "RW 12288 VMFSSPARSE \"image-delta.vmdk\"\n"),
        (line, "RW 1 SPARSE \"image\"\n"),
        ("monolithicSparse", "custom"),
        ("createType=\"monolithicSparse\"\n", ""),
        ("version=1\n", "version=9\n"),
    ] {
        let image = made(bench, "vmdk", "");
        let text = text_of(&image);
        assert!(text.contains(from), "{text}");
        put_text(&image, &text.replace(from, to));
        all_agree(bench, "vmdk", to);
    }
}

fn a_footer_with_another_overhead_or_without_descriptor_is_read(bench: &Bench) {
    // Xen Orchestra counts directory and tables in the footer only.
    let image = made(bench, "vmdk", "subformat=streamOptimized");
    let footer = with_footer(&image);
    all_agree(bench, "vmdk", "as it is");
    image.put(footer + 64, &3_u64.to_le_bytes());
    all_agree(bench, "vmdk", "another overhead");
    image.put(footer + 28, &[0; 16]);
    all_agree(bench, "vmdk", "no descriptor");
    image.put(footer + 64, &(1_u64 << 40).to_le_bytes());
    bench.qemu(["info", "image"]).fails_with("File truncated");
    bench.instar(["info", "image"]).fails_with("File truncated");
}

fn omitted_line_end_characters_are_not_a_text_mode_transfer(bench: &Bench) {
    made(bench, "vmdk", "").put(73, &[0; 4]);
    all_agree(bench, "vmdk", "no line ends");
}

fn content_ids_in_decimal_and_longer_than_eight_digits_are_read(bench: &Bench) {
    for id in ["4015623897", "180953948", "0x1e", "0X1763156d", " 7", "1234567890abcdef"] {
        let image = made(bench, "vmdk", "");
        let text = text_of(&image);
        let end = text.split_once("\nCID=").unwrap().1.split_once('\n').unwrap().0.to_owned();
        put_text(&image, &text.replacen(&format!("\nCID={end}\n"), &format!("\nCID={id}\n"), 1));
        all_agree(bench, "vmdk", id);
        flat(bench, FLAT.replace("CID=1763156d", &format!("CID={id}")).as_bytes());
        all_agree(bench, "vmdk", id);
    }
}

fn a_parent_of_no_parent_may_be_zero(bench: &Bench) {
    let image = made(bench, "vmdk", "");
    put_text(&image, &text_of(&image).replace("parentCID=ffffffff", "parentCID=0"));
    all_agree(bench, "vmdk", "parentCID=0");
}

fn harmless_descriptor_lines_are_ignored(bench: &Bench) {
    for line in [
        "ddb.with blank = \"1\"",
        "ddb.a/b = \"1\"",
        "ddb.list[0] = \"1\"",
        "no sign at all",
        "; a comment",
        "// a comment",
        "\u{1a}",
        "CID=1763156d",
        "createType=\"vmfs\"",
        "version=1",
        "parentFileNameHint=\"\"",
        "changeTrackPath=\"disk-ctk.vmdk\"",
        "# RW 1 FLAT \"x\" 0",
    ] {
        for text in [
            format!("{FLAT}{line}\n"),
            format!("{FLAT}{line}\r\n"),
            FLAT.replace("encoding", &format!("{line}\nencoding")),
        ] {
            flat(bench, text.as_bytes());
            all_agree(bench, "vmdk", line);
        }
    }
    for version in ["version=2", "version=3"] {
        flat(bench, FLAT.replace("version=1", version).as_bytes());
        all_agree(bench, "vmdk", version);
    }
    for rest in [&b"\0\0\0left over"[..], b"\0some text\nand = more\n"] {
        flat(bench, &[FLAT.as_bytes(), rest].concat());
        all_agree(bench, "vmdk", "text after a zero byte");
    }
    // An extent there is one to a reader that does not stop at the zero byte.
    flat(bench, &[FLAT.as_bytes(), b"\0RW 1 VMFS \"flat\"\n"].concat());
    bench
        .instar(["info", "-f", "vmdk", "image"])
        .fails_with("some programs would find 'RW 1 VMFS \"flat\"' after it");
}

fn a_missing_extent_line_is_named_as_such(bench: &Bench) {
    let image = made(bench, "vmdk", "");
    put_text(
        &image,
        &text_of(&image).replace("RW 12288 SPARSE \"image\"", "RW 12288 FLAT \"/etc/passwd\" 0"),
    );
    bench
        .instar(["info", "image"])
        .fails_with("claims that the disk is elsewhere: RW 12288 FLAT \"/etc/passwd\" 0");
    flat(bench, FLAT.replace("RW 12288 VMFS \"flat\"\n", "").as_bytes());
    bench.instar(["info", "image"]).fails_with("the descriptor lists no extents");
}

fn an_overlay_whose_parent_has_changed_is_mapped_and_not_read(bench: &Bench) {
    made(bench, "vmdk", "");
    fs::rename(bench.path("image"), bench.path("base.vmdk")).unwrap();
    bench.qemu(["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "image"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let text = text_of(&image);
    let id = text.split_once("parentCID=").unwrap().1.split_once('\n').unwrap().0.to_owned();
    put_text(&image, &text.replace(&format!("parentCID={id}"), "parentCID=6917c99b"));
    for words in [
        ["map", "--output=json", "image"].as_slice(),
        &["info", "--output=json", "image"],
        &["measure", "-O", "qcow2", "image"],
    ] {
        agree(bench, words, "a changed parent");
    }
    bench.qemu(["convert", "-O", "raw", "image", "theirs"]).fails();
    let id = format!("its content ID is {id:0>8}, not 6917c99b");
    bench.instar(["convert", "-O", "raw", "image", "ours"]).fails_with(&id);
    // A disk that needs nothing of its parent does not need the right one.
    write(bench, "vmdk", "base.vmdk", "write -P 7 0 6M");
    fs::rename(bench.path("base.vmdk"), bench.path("image")).unwrap();
    let image = Edited::open(&bench.path("image"));
    let text = text_of(&image)
        .replace("parentCID=ffffffff", "parentCID=12345678\nparentFileNameHint=\"other.vmdk\"");
    put_text(&image, &text);
    bench.qemu(["create", "-q", "-f", "vmdk", "other.vmdk", "6M"]).succeeds();
    bench.qemu(["convert", "-O", "raw", "image", "theirs"]).succeeds();
    bench.instar(["convert", "-O", "raw", "image", "ours"]).succeeds();
    same_bytes(bench, "theirs", "ours", "all of it is here");
}

fn a_snapshot_of_virtualbox_is_read_with_its_parent_or_not_at_all(bench: &Bench) {
    const CHILD: &str = "3aaebc45-36b0-4a5e-9c1d-c306d6625d78";
    const PARENT: &str = "c7f5b2a1-0d4e-4f6a-8b3c-1122334455aa";
    let ids = |image: &Edited, uuid: &str, parent: &str| {
        let text = text_of(image);
        put_text(image, &format!("{text}ddb.uuid.image=\"{uuid}\"\nddb.uuid.parent=\"{parent}\"\n"));
    };
    let image = made(bench, "vmdk", "");
    ids(&image, PARENT, "00000000-0000-0000-0000-000000000000");
    all_agree(bench, "vmdk", "the parent");
    fs::rename(bench.path("image"), bench.path("base.vmdk")).unwrap();
    bench.qemu(["create", "-q", "-f", "vmdk", "image", "6M"]).succeeds();
    write(bench, "vmdk", "image", "write -P 9 64k 128k");
    let image = Edited::open(&bench.path("image"));
    ids(&image, CHILD, PARENT);
    agree(bench, &["info", "--output=json", "image"], "a snapshot");
    let theirs = bench.qemu(["convert", "-O", "raw", "image", "theirs"]);
    let ours = bench.instar(["convert", "-O", "raw", "image", "ours"]);
    ours.fails_with("is a snapshot of another disk (ddb.uuid.parent c7f5b2a10d4e4f6a8b3c1122334455aa)");
    deviates("vmdk-unnamed-parent", &theirs.code(), &ours.code());
    for words in
        [["map", "image"].as_slice(), &["measure", "-O", "qcow2", "image"], &["compare", "image", "disk.raw"]]
    {
        assert!(bench.instar(words).errors().contains("but does not name its file"), "{words:?}");
    }
    let verdict = bench.instar(["info", "--safety", "image"]);
    assert!(verdict.code() == Some(1) && verdict.text().contains("but does not name its file"), "{verdict}");
    // Told where the parent is, we read what VirtualBox reads.
    let layer =
        |name: &str| serde_json::json!({ "driver": "vmdk", "file": { "driver": "file", "filename": name } });
    let json = |parent: &str| {
        let mut named = layer("image");
        named["backing"] = layer(parent);
        format!("json:{named}")
    };
    bench.instar(["convert", "-O", "raw", &json("base.vmdk"), "ours"]).succeeds();
    let mut expected = fs::read(bench.path("disk.raw")).unwrap();
    expected[64 << 10..192 << 10].fill(9);
    assert!(fs::read(bench.path("ours")).unwrap() == expected, "the child's data over the parent's");
    bench.qemu(["create", "-q", "-f", "vmdk", "stranger.vmdk", "6M"]).succeeds();
    bench
        .instar(["convert", "-O", "raw", &json("stranger.vmdk"), "out"])
        .fails_with("its ddb.uuid.image is 00000000000000000000000000000000, not c7f5b2a1");
    // The same for a content ID of a parent that has no name.
    let image = made(bench, "vmdk", "");
    put_text(&image, &text_of(&image).replace("parentCID=ffffffff", "parentCID=12345678"));
    bench.instar(["convert", "-O", "raw", "image", "out"]).fails_with("(parentCID 12345678)");
}

fn an_extent_after_a_blank_line_is_one_extent(bench: &Bench) {
    // qemu-img skips the blank line, and then comes to the extent again.
    flat(bench, FLAT.replace("# Extent description\n", "").as_bytes());
    let size = |outcome: &Outcome| {
        let info: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
        info["virtual-size"].as_u64().unwrap()
    };
    let words = ["info", "-f", "vmdk", "--output=json", "image"];
    let (theirs, ours) = (size(&bench.qemu(words)), size(&bench.instar(words)));
    assert_eq!(ours, 6 * MIB);
    deviates("vmdk-blank-lines", &theirs, &ours);
    bench.instar(["convert", "-O", "raw", "image", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "one extent");
}

fn a_content_id_is_found_after_that_of_the_parent(bench: &Bench) {
    flat(
        bench,
        FLAT.replace("CID=1763156d\nparentCID=ffffffff", "parentCID=ffffffff\nCID=1763156d").as_bytes(),
    );
    let words = ["info", "-f", "vmdk", "--output=json", "image"];
    let [theirs, ours] = [bench.qemu(words), bench.instar(words)].map(|outcome| {
        let info: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
        info["format-specific"]["data"]["cid"].as_u64().unwrap()
    });
    assert_eq!(ours, 0x1763_156d);
    deviates("vmdk-parent-id-first", &theirs, &ours);
}

fn unknown_flags_of_a_vmdk_are_refused(bench: &Bench) {
    made(bench, "vmdk", "").put(8, &0x0004_0003_u32.to_le_bytes());
    let theirs = bench.qemu(["convert", "-O", "raw", "image", "theirs"]);
    let ours = bench.instar(["convert", "-O", "raw", "image", "ours"]);
    ours.fails_with("unsupported VMDK feature flags 262144");
    deviates("vmdk-unknown-flags", &theirs.code(), &ours.code());
}

fn a_disk_of_more_than_a_thousand_extents_is_read_and_made(bench: &Bench) {
    bench
        .qemu(["create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "image.vmdk", "2200G"])
        .succeeds();
    write(bench, "raw", "image-f1100.vmdk", "write -P 5 2047M 64k");
    agree(bench, &["info", "--output=json", "image.vmdk"], "1100 extents");
    let window = |image, target| ["dd", "-f", "vmdk", "-O", "raw", image, target, "bs=1M", "skip=2252799"];
    bench.qemu(window("if=image.vmdk", "of=theirs")).succeeds();
    bench.instar(window("if=image.vmdk", "of=ours")).succeeds();
    same_bytes(bench, "theirs", "ours", "the last extent");
    let last = fs::read(bench.path("ours")).unwrap();
    assert!(
        last.len() as u64 == MIB
            && last[..65536].iter().all(|byte| *byte == 5)
            && last[65536..].iter().all(|byte| *byte == 0)
    );
    bench
        .instar(["create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "made.vmdk", "2200G"])
        .succeeds();
    agree(bench, &["info", "--output=json", "made.vmdk"], "1100 extents of ours");
}

fn a_disk_in_more_pieces_than_the_soft_limit_on_open_files_is_made_and_read(bench: &Bench) {
    let disk = fs::File::create(bench.path("disk.raw")).unwrap();
    disk.write_all_at(b"the end", (1200 << 30) - 7).unwrap();
    let made =
        ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "disk.raw", "made.vmdk"];
    // The limit of most callers; one with little more than a descriptor for each piece; and one that is lower than the number of pieces, but
    // may be raised.
    for limit in ["--nofile=1024:4096", "--nofile=700:700", "--nofile=64:1024"] {
        Outcome::of(&mut bench.command_under(&["prlimit", limit], made)).succeeds();
        agree(bench, &["info", "--output=json", "made.vmdk"], limit);
        let read = ["dd", "-O", "raw", "if=made.vmdk", "of=ours", "bs=1M", "skip=1228799"];
        Outcome::of(&mut bench.command_under(&["prlimit", limit], read)).succeeds();
        assert!(fs::read(bench.path("ours")).unwrap().ends_with(b"the end"), "{limit}");
        for name in bench.names().iter().filter(|name| name.starts_with("made")) {
            fs::remove_file(bench.path(name)).unwrap();
        }
    }
    let few = Outcome::of(&mut bench.command_under(&["prlimit", "--nofile=300:300"], made));
    few.fails_with("Too many open files (ulimit -Hn allows no more: raise it)");
    assert_eq!(bench.names(), ["disk.raw", "ours"], "nothing is left behind");
}

fn the_map_of_a_fixed_vhd_is_that_of_qemu_img(bench: &Bench) {
    const SIZE: u64 = 48;
    let image = made(bench, "vpc", "subformat=fixed,force_size=on");
    let footer = image.end() - 512;
    let there = 6 * MIB;
    assert_eq!(image.get(footer + SIZE, 8), there.to_be_bytes());
    for size in [there, there + 4096, there + MIB, there - 4096, there + 512] {
        image.put(footer + SIZE, &size.to_be_bytes()).seal_vhd_footer(footer);
        for words in [
            ["map", "-f", "vpc", "--output=json", "image"].as_slice(),
            &["map", "-f", "vpc", "image"],
            &["info", "-f", "vpc", "--output=json", "image"],
            &["measure", "-f", "vpc", "-O", "qcow2", "image"],
        ] {
            agree(bench, words, &size.to_string());
        }
        let words = |target| ["convert", "-f", "vpc", "-O", "raw", "image", target];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        same_bytes(bench, "theirs", "ours", &size.to_string());
    }
}

fn a_block_of_a_vhdx_in_an_unknown_state_matters_when_it_is_read(bench: &Bench) {
    const TABLE: u64 = 2 * MIB;
    for state in [4_u64, 7] {
        let image = made(bench, "vhdx", "block_size=1M");
        image.put(TABLE + 8, &state.to_le_bytes());
        for words in [
            ["info", "--output=json", "image"].as_slice(),
            &["map", "--output=json", "image"],
            &["check", "image"],
        ] {
            agree(bench, words, &state.to_string());
        }
        bench.qemu(["convert", "-O", "raw", "image", "theirs"]).fails();
        bench
            .instar(["convert", "-O", "raw", "image", "ours"])
            .fails_with(&format!("entry 1 has state {state}"));
        let window = |target| ["dd", "-O", "raw", "if=image", target, "bs=1M", "count=1"];
        bench.qemu(window("of=theirs")).succeeds();
        bench.instar(window("of=ours")).succeeds();
        same_bytes(bench, "theirs", "ours", "another block");
    }
}

fn fixed_lengths_of_vhdx_metadata_are_not_checked(bench: &Bench) {
    const TABLE: u64 = 3 * MIB + 32;
    for length in [0_u32, 1, u32::MAX] {
        let image = made(bench, "vhdx", "");
        for item in 0..5 {
            image.put(TABLE + 32 * item + 20, &length.to_le_bytes());
        }
        let words = |target| ["convert", "-f", "vhdx", "-O", "raw", "image", target];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        same_bytes(bench, "theirs", "ours", &length.to_string());
    }
}

fn a_vdi_without_blocks_is_read_wherever_its_data_would_be(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 6 * MIB, &[]);
    for offset in [0_u32, 512, 1024] {
        bench.qemu(["create", "-q", "-f", "vdi", "image", "6M"]).succeeds();
        Edited::open(&bench.path("image")).put(0x158, &offset.to_le_bytes());
        all_agree(bench, "vdi", &offset.to_string());
        agree(bench, &["check", "image"], &offset.to_string());
        bench.instar(["convert", "-n", "-f", "raw", "-O", "vdi", "disk.raw", "image"]).is_civil();
    }
}
