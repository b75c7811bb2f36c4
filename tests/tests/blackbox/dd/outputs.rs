//! The format of the target: raw unless it is named, whatever the source is.

use super::rows;

rows! {
    of_raw_the_target_is_raw: "if=raw of=out";
    of_qcow2_the_target_is_raw: "if=qcow2 of=out";
    of_vmdk_the_target_is_raw: "-f vmdk if=sparse of=out";
    of_vpc_the_target_is_raw: "-f vpc if=vpc of=out";
    of_vhdx_the_target_is_raw: "-f vhdx if=vhdx of=out";
    of_vdi_the_target_is_raw: "-f vdi if=vdi of=out";
    raw_may_be_named: "-O raw if=qcow2 of=out";
    qcow2_may_be_named: "-O qcow2 if=raw of=out";
    qcow2_of_qcow2: "-f qcow2 -O qcow2 if=qcow2 of=out";
    vmdk_may_be_named: "-O vmdk if=raw of=out";
    vpc_may_be_named: "-O vpc if=raw of=out";
    vhdx_may_be_named: "-O vhdx if=raw of=out";
    vdi_may_be_named: "-O vdi if=raw of=out";
    the_long_name_of_the_option: "--image-opts -O qcow2 if=driver=qcow2,file.filename=qcow2 of=out";
    options_may_follow_operands: "if=raw of=out -f raw -O qcow2";
    the_last_format_wins: "-O vmdk -O qcow2 if=raw of=out";
    the_name_of_the_target_says_nothing: "-O raw if=raw of=out bs=1M";
}
