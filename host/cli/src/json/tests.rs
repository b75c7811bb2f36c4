use super::{Json, Object, one_line, pretty};

/// Orders observed in the reference tool's output.
const OBSERVED: &[&str] = &[
    "compressed children backing-filename-format snapshots virtual-size filename cluster-size format actual-size format-specific full-backing-filename encrypted backing-filename dirty-flag",
    "compat compression-type lazy-refcounts bitmaps refcount-bits data-file encrypt data-file-raw corrupt extended-l2",
    "flags name granularity",
    "active iters key-offset stripes",
    "cid parent-cid create-type extents",
    "compressed virtual-size filename cluster-size format",
    "icount vm-clock-nsec name date-sec date-nsec vm-clock-sec id vm-state-size",
    "image-end-offset compressed-clusters total-clusters corruptions corruptions-fixed check-errors leaks leaks-fixed allocated-clusters filename format fragmented-clusters",
    "bitmaps required fully-allocated",
    "name info",
    "type data",
];

#[test]
fn the_hash_gives_the_observed_orders() {
    for order in OBSERVED {
        let keys: Vec<&'static str> = order.split(' ').collect();
        // Where two keys share a bucket the newest comes first, so the last one printed is set first.
        let object = keys
            .iter()
            .rev()
            .fold(Object::new(), |object, key| object.with(key, true));
        let found: Vec<_> = object.in_order().into_iter().map(|(key, _)| key).collect();
        assert_eq!(found, keys);
        assert!(keys.is_sorted_by_key(|key| super::bucket(key)));
    }
}

#[test]
fn empty_lists_and_objects_take_two_lines() {
    let value = Json::from(Object::new().with("name", Vec::new()).with("info", Object::new()));
    assert_eq!(
        pretty(&value),
        "{\n    \"name\": [\n    ],\n    \"info\": {\n    }\n}"
    );
    assert_eq!(one_line(&value), "{\"name\": [], \"info\": {}}");
}

#[test]
fn any_bytes_make_valid_json() {
    let cases: &[(&[u8], &str)] = &[
        (b"a\"b\\c\n\x01\x7f", "a\\\"b\\\\c\\n\\u0001\\u007F"),
        ("ü€😀".as_bytes(), "\\u00FC\\u20AC\\uD83D\\uDE00"),
        (b"\xff\xfe", "\\uFFFD\\uFFFD"),
        (b"\xc3", "\\uFFFD"),
        (b"\xe2\x82x", "\\uFFFDx"),
        (b"\xed\xa0\x80", "\\uFFFD"),
        (b"\xc0\xaf", "\\uFFFD"),
        (b"\xc0\x80", "\\u0000"),
        (b"\xf4\x90\x80\x80", "\\uFFFD"),
    ];
    for (bytes, inner) in cases {
        let text = one_line(&Json::from(*bytes));
        assert_eq!(text, format!("\"{inner}\""));
        assert!(serde_json::from_str::<String>(&text).is_ok());
    }
}
