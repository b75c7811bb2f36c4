//! Chains of operands: their order, operands given twice, and the extent of a name.

use super::rows;

rows! {
    the_target_may_come_first: "of=out if=raw";
    the_window_may_come_first: "bs=64k count=3 skip=1 if=raw of=out";
    the_last_source_wins: "if=absent if=raw of=out";
    the_last_target_wins: "if=raw of=absent/out of=out";
    the_last_block_wins: "if=raw of=out count=4 bs=1k skip=1 bs=2k";
    the_last_count_wins: "if=raw of=out count=9 count=2";
    the_last_skip_wins: "if=raw of=out bs=64k skip=9 skip=2";
    a_wrong_operand_is_refused_although_a_right_one_follows: "if=raw of=out bs=0 bs=512";
    a_name_is_split_at_its_first_equals_sign: "-f raw if=name=with=equals of=out";
    an_option_between_operands: "if=raw -O qcow2 of=out bs=64k";
    nothing_after_two_dashes_is_an_option: "-f raw -- if=raw of=out";
    an_option_after_two_dashes_is_an_operand: "if=raw of=out -- -O";
    a_dash_alone_is_an_operand: "if=raw of=out -";
    an_attached_argument: "-fraw -Oqcow2 if=raw of=out";
    a_long_option_with_an_equals_sign: "if=raw of=out --object=secret,id=s,data=x";
    a_block_then_a_count_then_a_skip: "if=raw of=out bs=1k count=7 skip=5";
    a_skip_then_a_count_then_a_block: "if=raw of=out skip=5 count=7 bs=1k";
}
