//! The format of the source, including backing chains: `dd` copies the disk that a guest would see.

use super::rows;

rows! {
    raw_that_is_named: "-f raw if=raw of=out";
    raw_that_is_probed: "if=raw of=out bs=64k";
    raw_of_a_thousand_bytes: "-f raw if=odd of=out";
    raw_of_nothing: "-f raw if=nothing of=out";
    qcow2_that_is_named: "-f qcow2 if=qcow2 of=out bs=64k";
    qcow2_that_is_probed: "if=qcow2 of=out bs=64k";
    qcow2_read_as_raw: "-f raw if=qcow2 of=out bs=64k";
    qcow2_of_version_2: "-f qcow2 if=version2 of=out bs=64k";
    qcow2_with_clusters_of_a_sector: "-f qcow2 if=small of=out bs=64k";
    qcow2_with_subclusters: "-f qcow2 if=extended of=out bs=64k";
    qcow2_compressed_by_zlib: "-f qcow2 if=zlib of=out bs=64k";
    qcow2_compressed_by_zstd: "-f qcow2 if=zstd of=out bs=64k";
    qcow2_with_a_data_file: "-f qcow2 if=data_file of=out bs=64k";
    qcow2_with_snapshots: "-f qcow2 if=snapshots of=out bs=64k";
    qcow2_without_data: "-f qcow2 if=empty of=out bs=64k";
    qcow2_of_size_0: "-f qcow2 if=size0 of=out bs=64k";
    vmdk_in_one_sparse_file: "-f vmdk if=sparse of=out bs=64k";
    vmdk_in_a_flat_extent: "-f vmdk if=split of=out bs=64k";
    vmdk_in_a_stream: "-f vmdk if=stream of=out bs=64k";
    vpc_with_a_table: "-f vpc if=vpc of=out bs=64k";
    vpc_of_fixed_size: "-f vpc if=fixed of=out bs=64k";
    vpc_of_fixed_size_is_probed_as_raw: "if=fixed of=out bs=64k count=9";
    vhdx_that_is_probed: "if=vhdx of=out bs=64k";
    vdi_that_is_probed: "if=vdi of=out bs=64k";
    qcow2_over_raw: "-f qcow2 if=over_raw of=out bs=64k";
    qcow2_over_raw_in_small_blocks: "-f qcow2 if=over_raw of=out bs=1000";
    qcow2_over_compressed_qcow2: "-f qcow2 if=over_qcow2 of=out bs=64k";
    four_layers_with_different_clusters: "-f qcow2 if=over_three of=out bs=64k";
    four_layers_that_are_probed: "if=over_three of=out bs=64k";
    vmdk_over_vmdk: "-f vmdk if=over_sparse of=out bs=64k";
    the_wrong_format_is_refused: "-f qcow2 if=raw of=out";
    another_wrong_format_is_refused: "-f vdi if=qcow2 of=out";
    options_of_the_image_name_its_driver: "--image-opts if=driver=qcow2,file.filename=qcow2 of=out bs=64k";
    options_of_the_image_leave_the_driver_to_be_probed: "--image-opts if=file.filename=qcow2 of=out bs=64k";
    options_of_the_image_exclude_a_format: "--image-opts -f qcow2 if=file.filename=qcow2 of=out";
    a_shared_source_is_read: "-U -f qcow2 if=qcow2 of=out bs=64k";
    a_source_with_its_protocol: "-f raw if=file:raw of=out bs=64k";
}
