//! Disks behind servers, as people name them: URLs of NBD, the older names with colons, and the options of a tree.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use instar_abi::limits::IMAGE_TEXT;
use instar_run::{Address, Remote};

use super::tree::Tree;

/// The port that servers of NBD listen on.
const PORT: u16 = 10809;

const TLS: &[u8] =
    b"instar does not speak TLS; reach the server through a tunnel such as ssh or stunnel, or over a Unix socket";

/// The server that a name stands for, if it is the name of one; else why it cannot be read.
#[must_use]
pub fn named(name: &[u8]) -> Option<Result<Remote, Vec<u8>>> {
    let (scheme, rest) = split(name, b':')?;
    Some(match (scheme, rest.strip_prefix(b"//")) {
        (b"nbd" | b"nbd+tcp", Some(rest)) => inet_url(rest),
        (b"nbd+unix", Some(rest)) => unix_url(rest),
        (b"nbds" | b"nbds+tcp" | b"nbds+unix", _) => Err(TLS.to_vec()),
        (b"nbd", None) => with_colons(rest),
        _ => return None,
    })
}

/// `HOST[:PORT][/EXPORT]`
fn inet_url(rest: &[u8]) -> Result<Remote, Vec<u8>> {
    let (server, export) = split(rest, b'/').unwrap_or((rest, b""));
    if server.contains(&b'?') || export.contains(&b'?') {
        return Err(
            b"a URL with nbd:// has no '?'; for a Unix socket, use nbd+unix:///EXPORT?socket=PATH".to_vec(),
        );
    }
    let address = inet(&decoded(server)?)?;
    checked(address, decoded(export)?)
}

/// `/[EXPORT]?socket=PATH`
fn unix_url(rest: &[u8]) -> Result<Remote, Vec<u8>> {
    let wrong =
        || b"a URL with nbd+unix:// names a socket and no host: nbd+unix:///EXPORT?socket=PATH".to_vec();
    let (place, query) = split(rest, b'?').ok_or_else(wrong)?;
    let export = match place {
        b"" => place,
        _ => place.strip_prefix(b"/").ok_or_else(wrong)?,
    };
    let path = query.strip_prefix(b"socket=").filter(|path| !path.is_empty());
    let path = path.filter(|path| !path.contains(&b'&')).ok_or_else(wrong)?;
    checked(unix(decoded(path)?), decoded(export)?)
}

/// `unix:PATH[:exportname=EXPORT]`, `HOST:PORT[:exportname=EXPORT]`
fn with_colons(rest: &[u8]) -> Result<Remote, Vec<u8>> {
    const EXPORT: &[u8] = b":exportname=";
    let at = rest.windows(EXPORT.len()).position(|window| window == EXPORT);
    let (server, export) = rest.split_at(at.unwrap_or(rest.len()));
    let export = export.get(EXPORT.len()..).unwrap_or_default();
    let address = match server.strip_prefix(b"unix:") {
        Some(path) => unix(path.to_vec()),
        None => {
            let wrong = || [b"error parsing address '", server, b"'"].concat();
            let colon = server.iter().rposition(|byte| *byte == b':').ok_or_else(wrong)?;
            let behind = server.get(colon..).unwrap_or_default();
            if behind.len() < 2 {
                return Err(wrong());
            }
            inet(server)?
        }
    };
    checked(address, export.to_vec())
}

/// The options of a server, as they were written.
pub type Written = Vec<(&'static str, Vec<u8>)>;

/// Takes what a node of the driver `nbd` has out of a tree; `level` is the prefix of its options.
pub(super) fn take(tree: &mut Tree, level: &str) -> Result<(Remote, Written), Vec<u8>> {
    let mut written = Vec::new();
    let mut take = |name: &'static str| {
        let value = tree.take(&format!("{level}{name}"))?;
        written.push((name, value.clone()));
        Some(value)
    };
    let filename = take("filename");
    let export = take("export");
    if take("tls-creds").is_some() || take("tls-hostname").is_some() {
        return Err(TLS.to_vec());
    }
    if let Some(filename) = filename {
        let wrong = || {
            Err([
                b"'",
                filename.as_slice(),
                b"' is no address of a server that speaks NBD",
            ]
            .concat())
        };
        let remote = named(&filename).unwrap_or_else(wrong)?;
        let written = options(&remote);
        return Ok((remote, written));
    }
    let kind = take("server.type");
    let [path, host, port] = match kind {
        None => ["path", "host", "port"],
        Some(_) => ["server.path", "server.host", "server.port"],
    }
    .map(take);
    let address = match (kind.as_deref(), path, host) {
        (None | Some(b"unix"), Some(path), None) => unix(path),
        (None | Some(b"inet"), None, Some(host)) => Address::Inet {
            host: text(&host)?,
            port: port.as_deref().map_or(Ok(PORT), number)?,
        },
        (None, Some(_), Some(_)) => return Err(b"path and host may not be used at the same time".to_vec()),
        (None, None, None) => return Err(b"NBD server address missing".to_vec()),
        (Some(b"unix"), ..) => return Err(b"server.type=unix takes server.path and nothing else".to_vec()),
        (Some(b"inet"), ..) => {
            return Err(b"server.type=inet takes server.host and server.port and nothing else".to_vec());
        }
        (Some(other), ..) => {
            return Err([b"server.type must be unix or inet, not '", other, b"'"].concat());
        }
    };
    Ok((checked(address, export.unwrap_or_default())?, written))
}

/// The options that a name comes to.
#[must_use]
pub fn options(remote: &Remote) -> Written {
    let mut options = vec![];
    let mut set = |name: &'static str, value: &[u8]| options.push((name, value.to_vec()));
    match &remote.address {
        Address::Unix(path) => {
            set("server.type", b"unix");
            set("server.path", path.as_os_str().as_bytes());
        }
        Address::Inet { host, port } => {
            set("server.type", b"inet");
            set("server.host", host.as_bytes());
            set("server.port", port.to_string().as_bytes());
        }
    }
    if !remote.export.is_empty() {
        set("export", &remote.export);
    }
    options
}

/// What a name can be that a server is asked for.
fn checked(address: Address, export: Vec<u8>) -> Result<Remote, Vec<u8>> {
    if export.len() > IMAGE_TEXT {
        let text = format!(
            "the name of the export has {} bytes; the limit is {IMAGE_TEXT}",
            export.len()
        );
        return Err(text.into_bytes());
    }
    Ok(Remote { address, export })
}

fn unix(path: Vec<u8>) -> Address {
    Address::Unix(PathBuf::from(OsStr::from_bytes(&path)))
}

/// `HOST`, `HOST:PORT`, `[HOST]:PORT`; a host with colons stands in brackets.
fn inet(server: &[u8]) -> Result<Address, Vec<u8>> {
    let (host, port) = match server.strip_prefix(b"[") {
        Some(rest) => {
            let (host, rest) =
                split(rest, b']').ok_or_else(|| [b"error parsing address '", server, b"'"].concat())?;
            (host, rest.strip_prefix(b":"))
        }
        None => split(server, b':').map_or((server, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(b"No valid URL specified: the host is missing".to_vec());
    }
    Ok(Address::Inet {
        host: text(host)?,
        port: port.map_or(Ok(PORT), number)?,
    })
}

fn number(port: &[u8]) -> Result<u16, Vec<u8>> {
    let parsed = str::from_utf8(port).ok().and_then(|port| port.parse().ok());
    parsed.ok_or_else(|| [b"'", port, b"' is no port: a number up to 65535"].concat())
}

fn text(host: &[u8]) -> Result<String, Vec<u8>> {
    let host = str::from_utf8(host).map_err(|_| b"the name of the host is not UTF-8".to_vec())?;
    Ok(host.to_owned())
}

/// `%41` is `A`.
fn decoded(text: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let mut plain = Vec::new();
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            plain.push(*byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let (high, low) = (digit(), digit());
        let value = high
            .zip(low)
            .and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        plain.push(value.ok_or_else(|| [b"'", text, b"' has a % without two hexadecimal digits"].concat())?);
    }
    Ok(plain)
}

/// What stands before the first `byte`, and behind it.
fn split(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|other| *other == byte)?;
    let (before, behind) = text.split_at(at);
    Some((before, behind.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(name: &str) -> String {
        match named(name.as_bytes()).unwrap() {
            Ok(remote) => String::from_utf8(remote.url()).unwrap(),
            Err(why) => String::from_utf8(why).unwrap(),
        }
    }

    #[test]
    fn names_of_every_form_come_to_the_same_servers() {
        for (name, shown) in [
            ("nbd://host", "nbd://host:10809"),
            ("nbd://host/", "nbd://host:10809"),
            ("nbd+tcp://host:7/a%20b", "nbd://host:7/a b"),
            ("nbd://[::1]:7/x/y", "nbd://::1:7/x/y"),
            ("nbd:host:7", "nbd://host:7"),
            ("nbd:host:7:exportname=x:y", "nbd://host:7/x:y"),
            ("nbd:[::1]:7", "nbd://::1:7"),
            ("nbd+unix:///x?socket=/a%2Fb", "nbd+unix:///x?socket=/a/b"),
            ("nbd+unix://?socket=s", "nbd+unix://?socket=s"),
            ("nbd:unix:/a:b", "nbd+unix://?socket=/a:b"),
            ("nbd:unix:/a:exportname=x", "nbd+unix:///x?socket=/a"),
        ] {
            assert_eq!(url(name), shown, "{name}");
        }
    }

    #[test]
    fn names_that_are_no_servers_say_why() {
        for (name, why) in [
            ("nbds://host/x", "does not speak TLS"),
            ("nbd://", "host is missing"),
            ("nbd://h:70000", "no port"),
            ("nbd://h/%4", "two hexadecimal digits"),
            ("nbd://h?socket=/x", "use nbd+unix"),
            ("nbd+unix://h/x?socket=/x", "no host"),
            ("nbd+unix:///x", "names a socket"),
            ("nbd:host", "error parsing address 'host'"),
            ("nbd:host:", "error parsing address"),
        ] {
            assert!(url(name).contains(why), "{name}: {}", url(name));
        }
        for name in ["nbd", "./nbd://host", "file:nbd://x", "/nbd:unix:/x", "nbdx://h"] {
            assert!(named(name.as_bytes()).is_none(), "{name}");
        }
        let long = format!("nbd://h/{}", "x".repeat(IMAGE_TEXT + 1));
        assert!(url(&long).contains("the limit is 4096"));
    }
}
