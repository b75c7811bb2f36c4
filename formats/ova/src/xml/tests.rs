use std::string::String;

use super::*;

/// What a document comes to: `name(attribute=value)` for each element, `/` where one ends.
fn read(document: &str) -> core::result::Result<String, Fault> {
    let mut reader = Reader::new(document.as_bytes());
    let mut text = String::new();
    while let Some(event) = reader.next()? {
        match event {
            Event::Open(element) => {
                text.push_str(&String::from_utf8_lossy(element.name));
                for (name, value) in element.attributes {
                    let [name, value] = [name, &value].map(String::from_utf8_lossy);
                    text.push_str(&format!("({name}={value})"));
                }
                text.push(' ');
            }
            Event::Close => text.push_str("/ "),
        }
    }
    Ok(text)
}

#[test]
fn elements_and_attributes_are_read_in_order() {
    for (document, expected) in [
        ("<a/>", "a / "),
        (
            "\u{feff}<?xml version='1.0'?>\n<!-- <x> -->\n<a><b c='1' d=\"it's\"/>text &amp; more<e></e ></a>\n",
            "a b(c=1)(d=it's) / e / / ",
        ),
        (
            "<o:a o:b = '&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;'/>",
            "o:a(o:b=<>&\"'A\u{1f600}) / ",
        ),
        ("<a><![CDATA[<b>]]></a><!-- end -->", "a / "),
        ("<ä é='ü'/>", "ä(é=ü) / "),
    ] {
        assert_eq!(read(document).as_deref(), Ok(expected), "{document}");
    }
}

#[test]
fn what_is_no_document_is_refused() {
    for (document, code) in [
        ("", faults::XML),
        ("text", faults::XML),
        ("<a>", faults::XML),
        ("<a></b>", faults::XML),
        ("</a>", faults::XML),
        ("<a/><b/>", faults::XML),
        ("<a/>text", faults::XML),
        ("text<a/>", faults::XML),
        ("<a b/>", faults::XML),
        ("<a b=c/>", faults::XML),
        ("<a b='c'd='e'/>", faults::XML),
        ("<a b='1' b='2'/>", faults::XML),
        ("<a b='<'/>", faults::XML),
        ("<a b='&lt'/>", faults::XML),
        ("<a b='c", faults::XML),
        ("< a/>", faults::XML),
        ("<!-->-<a/>", faults::XML),
        ("<?>", faults::XML),
        ("<![CDATA[]]><a/>", faults::XML_DOCTYPE),
        ("<!DOCTYPE a><a/>", faults::XML_DOCTYPE),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a d='&b;'/>", faults::XML_DOCTYPE),
        ("<a b='&c;'/>", faults::XML_ENTITY),
        ("<a b='&#0;'/>", faults::XML_ENTITY),
        ("<a b='&#xd800;'/>", faults::XML_ENTITY),
        ("<a b='&#99999999999;'/>", faults::XML_ENTITY),
        ("<\u{0}/>", faults::XML),
        ("\u{0}<\u{0}a\u{0}/\u{0}>", faults::XML),
    ] {
        assert_eq!(read(document).unwrap_err().code, code, "{document}");
    }
    assert_eq!(read(&"<a>".repeat(65)).unwrap_err().code, faults::XML_DEPTH);
    assert!(read(&format!("{}{}", "<a>".repeat(64), "</a>".repeat(64))).is_ok());
}
