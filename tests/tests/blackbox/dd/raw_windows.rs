//! Windows of a raw source in a raw target: where they begin and end, on sectors and off them.

use super::rows;

rows! {
    the_whole_disk_in_sectors: "-f raw if=raw of=out";
    the_whole_disk_in_blocks_of_512: "-f raw if=raw of=out bs=512";
    the_whole_disk_in_blocks_of_a_mebibyte: "-f raw if=raw of=out bs=1M";
    the_whole_disk_in_odd_blocks: "-f raw if=raw of=out bs=7777";
    the_whole_disk_in_one_block: "-f raw if=raw of=out bs=2147483647";
    one_sector: "-f raw if=raw of=out count=1";
    one_byte: "-f raw if=raw of=out bs=1 count=1";
    one_byte_more_than_a_sector: "-f raw if=raw of=out bs=1 count=513";
    one_byte_less_than_three_sectors: "-f raw if=raw of=out bs=5 count=307";
    a_count_beyond_the_end_stops_there: "-f raw if=raw of=out bs=1M count=1000";
    a_count_times_a_block_beyond_63_bits_stops_at_the_end: "-f raw if=raw of=out bs=2147483647 count=9223372036854775807";
    a_skip_of_one_mebibyte: "-f raw if=raw of=out bs=1M skip=1";
    a_skip_to_the_last_two_sectors: "-f raw if=raw of=out bs=1M skip=2";
    a_skip_off_the_sectors: "-f raw if=raw of=out bs=1000 skip=3";
    a_skip_of_odd_blocks: "-f raw if=raw of=out bs=777 skip=11";
    the_count_includes_what_is_skipped: "-f raw if=raw of=out bs=1k skip=5 count=7";
    a_count_below_the_skip_leaves_nothing: "-f raw if=raw of=out bs=1k skip=5 count=3";
    a_count_like_the_skip_leaves_nothing: "-f raw if=raw of=out bs=1k skip=5 count=5";
    a_count_of_nothing: "-f raw if=raw of=out count=0";
    a_skip_of_nothing: "-f raw if=raw of=out skip=0 count=9";
    a_skip_to_the_very_end: "-f raw if=raw of=out bs=512 skip=4098";
    a_skip_past_the_end_warns: "-f raw if=raw of=out bs=512 skip=4099";
    a_skip_far_past_the_end_warns: "-f raw if=raw of=out bs=1M skip=100000";
    a_skip_past_the_end_with_a_count_warns: "-f raw if=raw of=out bs=1M skip=3 count=9";
    a_window_in_the_hole: "-f raw if=raw of=out bs=1k skip=300 count=310";
    a_window_across_the_end_of_a_hole: "-f raw if=raw of=out bs=1000 skip=500 count=600";
    a_window_of_written_zeros: "-f raw if=raw of=out bs=1k skip=904 count=940";
    a_window_that_ends_off_the_sectors: "-f raw if=raw of=out bs=100 skip=5 count=77";
    a_window_of_a_disk_that_ends_off_the_sectors: "-f raw if=odd of=out bs=100 skip=1";
    the_last_bytes_of_a_disk_that_ends_off_the_sectors: "-f raw if=odd of=out bs=999 skip=1";
    a_window_of_an_empty_disk: "-f raw if=nothing of=out bs=512 count=1";
    a_skip_in_an_empty_disk_warns: "-f raw if=nothing of=out bs=512 skip=1";
}
