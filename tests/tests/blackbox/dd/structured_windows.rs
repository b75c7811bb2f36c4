//! Windows of structured sources, and windows written into structured targets, empty ones among them.

use super::rows;

rows! {
    qcow2_from_the_middle_of_a_cluster: "-f qcow2 if=qcow2 of=out bs=1000 skip=70 count=400";
    qcow2_across_clusters: "-f qcow2 if=qcow2 of=out bs=64k skip=2 count=9";
    qcow2_to_its_last_sectors: "-f qcow2 if=qcow2 of=out bs=1M skip=2";
    qcow2_past_its_end_warns: "-f qcow2 if=qcow2 of=out bs=1M skip=3";
    compressed_qcow2_from_the_middle_of_a_cluster: "-f qcow2 if=zlib of=out bs=777 skip=700 count=1400";
    zstd_qcow2_from_the_middle_of_a_cluster: "-f qcow2 if=zstd of=out bs=777 skip=700 count=1400";
    subclusters_from_the_middle_of_one: "-f qcow2 if=extended of=out bs=1000 skip=70 count=400";
    a_chain_across_its_layers: "-f qcow2 if=over_three of=out bs=10k skip=3 count=10";
    a_chain_beyond_the_layer_below: "-f qcow2 if=over_qcow2 of=out bs=1M skip=1 count=3";
    vmdk_across_grains: "-f vmdk if=sparse of=out bs=1000 skip=70 count=400";
    vmdk_stream_across_grains: "-f vmdk if=stream of=out bs=1000 skip=70 count=400";
    vpc_across_blocks: "-f vpc if=vpc of=out bs=1000 skip=70 count=2100";
    vhdx_across_sectors: "-f vhdx if=vhdx of=out bs=1000 skip=70 count=400";
    vdi_across_blocks: "-f vdi if=vdi of=out bs=1000 skip=70 count=1400";
    into_qcow2_whole: "-f raw -O qcow2 if=raw of=out bs=64k";
    into_qcow2_from_the_middle: "-f raw -O qcow2 if=raw of=out bs=64k skip=2 count=9";
    into_qcow2_off_the_sectors: "-f raw -O qcow2 if=raw of=out bs=1000 skip=1 count=77";
    into_qcow2_ending_off_the_sectors: "-f raw -O qcow2 if=raw of=out bs=100 count=77 skip=5";
    into_qcow2_nothing: "-f raw -O qcow2 if=raw of=out count=0";
    into_qcow2_nothing_by_a_skip_past_the_end: "-f raw -O qcow2 if=raw of=out skip=100000";
    into_qcow2_of_an_empty_disk: "-f raw -O qcow2 if=nothing of=out";
    into_vmdk_from_the_middle: "-f raw -O vmdk if=raw of=out bs=64k skip=2 count=9";
    into_vmdk_nothing: "-f raw -O vmdk if=raw of=out count=0";
    into_vpc_from_the_middle: "-f raw -O vpc if=raw of=out bs=64k skip=2 count=9";
    into_vpc_nothing: "-f raw -O vpc if=raw of=out count=0";
    into_vhdx_from_the_middle: "-f raw -O vhdx if=raw of=out bs=64k skip=2 count=9";
    into_vhdx_nothing: "-f raw -O vhdx if=raw of=out count=0";
    into_vdi_from_the_middle: "-f raw -O vdi if=raw of=out bs=64k skip=2 count=9";
    into_vdi_nothing: "-f raw -O vdi if=raw of=out count=0";
    from_qcow2_into_vmdk: "-f qcow2 -O vmdk if=qcow2 of=out bs=64k skip=2 count=9";
    from_a_chain_into_qcow2: "-f qcow2 -O qcow2 if=over_three of=out bs=10k skip=3 count=100";
    from_compressed_qcow2_into_vdi: "-f qcow2 -O vdi if=zlib of=out bs=777 skip=700 count=1400";
}
