//! A request for the status page, as HTTP/1.1 writes it (RFC 9112 §3).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use httparse::{EMPTY_HEADER, Header, Request, Status};

use super::page::{Format, Framing};

const MOST_HEADERS: usize = 24;

/// What a client wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    /// The page for people.
    Index,
    /// What it shows, or what monitoring reads.
    Facts(Format, Host, Framing),
    /// Code and phrase.
    Refused(&'static str),
}

/// Whom the client means to ask, by the Host header (RFC 9110 §7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Host {
    /// There is no such header: no browser asks.
    Missing,
    /// An address as a literal.
    Addr(IpAddr),
    /// A name, or what cannot be read, or more than one header.
    Other,
}

impl Host {
    /// Returns whether the client means the board, whose address is `own`, and not a site whose name points here.
    pub(super) fn is_board(self, own: IpAddr) -> bool {
        match self {
            Host::Missing => true,
            Host::Addr(addr) => addr == own,
            Host::Other => false,
        }
    }
}

/// Reads a request; `None`: there is more to come.
pub(super) fn parse(bytes: &[u8]) -> Option<Ask> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Partial) => None,
        Err(_) => Some(Ask::Refused("400 Bad Request")),
        Ok(Status::Complete(_)) => Some(match (request.method, request.path) {
            (Some("GET"), Some("/")) => Ask::Index,
            (Some("GET"), Some("/status.json")) => facts(Format::Json, &request),
            (Some("GET"), Some("/metrics")) => facts(Format::Metrics, &request),
            (Some("GET"), _) => Ask::Refused("404 Not Found"),
            _ => Ask::Refused("405 Method Not Allowed\r\nAllow: GET"),
        }),
    }
}

fn facts(format: Format, request: &Request<'_, '_>) -> Ask {
    let framing = if request.version == Some(0) { Framing::Close } else { Framing::Chunks };
    Ask::Facts(format, host(request.headers), framing)
}

fn host(headers: &[Header<'_>]) -> Host {
    let mut hosts = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next()) {
        (None, _) => Host::Missing,
        (Some(header), None) => literal(header.value).map_or(Host::Other, Host::Addr),
        (Some(_), Some(_)) => Host::Other,
    }
}

/// `192.168.1.77`, `[fd10:69::3]`, both with a port or without.
fn literal(value: &[u8]) -> Option<IpAddr> {
    let value = core::str::from_utf8(value).ok()?.trim_ascii();
    if let Ok(endpoint) = value.parse::<SocketAddr>() {
        return Some(endpoint.ip());
    }
    match value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
        Some(value) => value.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => value.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 77));
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd10, 0x69, 0, 0, 0, 0, 0, 3));

    fn get(headers: &str) -> String {
        format!("GET /status.json HTTP/1.1\r\n{headers}\r\n")
    }

    /// The Host of a request with these headers, if it asks for the page.
    fn host_of(headers: &str) -> Option<Host> {
        match parse(get(headers).as_bytes()) {
            Some(Ask::Facts(Format::Json, host, Framing::Chunks)) => Some(host),
            _ => None,
        }
    }

    fn is_board(headers: &str, own: IpAddr) -> bool {
        host_of(headers).unwrap().is_board(own)
    }

    #[test]
    fn no_host_means_the_board() {
        for headers in ["", "Accept: */*\r\n", "X-Host: evil.example\r\n", "Hos: a\r\nHostt: b\r\n"] {
            assert!(is_board(headers, V4) && is_board(headers, V6), "{headers:?}");
        }
    }

    #[test]
    fn the_boards_own_address_means_the_board() {
        for value in ["192.168.1.77", "192.168.1.77:80", "192.168.1.77:8080", " \t192.168.1.77 "] {
            for name in ["Host", "host", "HOST", "hOsT"] {
                let headers = format!("Accept: */*\r\n{name}: {value}\r\nConnection: close\r\n");
                assert!(is_board(&headers, V4) && !is_board(&headers, V6), "{headers:?}");
            }
        }
        for value in ["[fd10:69::3]", "[fd10:69::3]:80", "[FD10:69:0:0:0:0:0:3]", "[fd10:0069::3]:65535"] {
            let headers = format!("Host: {value}\r\n");
            assert!(is_board(&headers, V6) && !is_board(&headers, V4), "{headers:?}");
        }
    }

    #[test]
    fn a_name_or_another_address_means_somebody_else() {
        let names = ["evil.example", "evil.example:80", "192.168.1.77.evil.example", "board", "localhost", "x"];
        let addresses = ["192.168.1.78", "127.0.0.1", "0.0.0.0", "[::1]", "[::]:80", "[fd10:69::4]"];
        let malformed = [
            "192.168.1.77,evil.example",
            "192.168.1.77:",
            "192.168.1.77:+80",
            "192.168.1.77:65536",
            "192.168.1.77:80:80",
            "192.168.1.77/",
            "evil.example@192.168.1.77",
            "192.168.1.077",
            "0xc0.168.1.77",
            "192.168.333",
            "3232235853",
            "[192.168.1.77]",
            "fd10:69::3",
            "fd10:69::3]",
            "[fd10:69::3",
            "[fd10:69::3]80",
            "[[fd10:69::3]]",
            "[fd10:69::3%eth0]",
            "[]",
            ":80",
            "",
            "\u{e4}",
        ];
        for value in names.iter().chain(&addresses).chain(&malformed) {
            let headers = format!("Host: {value}\r\n");
            assert!(!is_board(&headers, V4) && !is_board(&headers, V6), "{headers:?}");
        }
    }

    #[test]
    fn several_hosts_mean_somebody_else() {
        let own = "Host: 192.168.1.77\r\n";
        for other in [own, "host: evil.example\r\n", "HOST:\r\n"] {
            for headers in
                [format!("{own}{other}"), format!("{other}Accept: */*\r\n{own}"), format!("{own}{own}{other}")]
            {
                assert!(!is_board(&headers, V4), "{headers:?}");
            }
        }
    }

    #[test]
    fn a_host_that_is_hidden_from_some_readers_is_refused() {
        for headers in [
            "Host : evil.example\r\n",
            " Host: evil.example\r\n",
            "Accept: */*\r\n Host: evil.example\r\n",
            "Host: 192.168.1.77\r\n evil.example\r\n",
            "Host\r\n",
            "Host: 192.168.1.77\0\r\n",
            "Host: a\rHost: b\r\n",
        ] {
            assert_eq!(parse(get(headers).as_bytes()), Some(Ask::Refused("400 Bad Request")), "{headers:?}");
        }
        // More headers than are read could hide a second one.
        let many = "A: b\r\n".repeat(MOST_HEADERS);
        assert_eq!(host_of(&many), Some(Host::Missing));
        for headers in [format!("{many}Host: evil.example\r\n"), format!("Host: 192.168.1.77\r\n{many}")] {
            assert_eq!(parse(get(&headers).as_bytes()), Some(Ask::Refused("400 Bad Request")));
        }
    }

    /// A request that is cut somewhere is not judged before its end: the Host that follows counts.
    #[test]
    fn a_request_in_pieces_is_read_as_one() {
        for (headers, is_own) in [
            ("Host: 192.168.1.77\r\nAccept: */*\r\n", true),
            ("Accept: */*\r\nHost: 192.168.1.77.evil.example\r\n", false),
            ("Host: 192.168.1.77\r\nHost: evil.example\r\n", false),
        ] {
            let request = get(headers);
            for cut in 0..request.len() {
                assert_eq!(parse(&request.as_bytes()[..cut]), None, "{:?}", &request[..cut]);
            }
            assert_eq!(is_board(headers, V4), is_own, "{headers:?}");
            // What follows a request is not part of it.
            let more = format!("{request}Host: evil.example\r\n\r\n");
            assert_eq!(parse(more.as_bytes()), parse(request.as_bytes()));
        }
    }

    #[test]
    fn each_path_has_its_answer_and_old_clients_theirs() {
        let ask = |line: &str| parse(format!("{line}\r\n\r\n").as_bytes()).unwrap();
        let facts = |format, framing| Ask::Facts(format, Host::Missing, framing);
        for version in ["1.0", "1.1"] {
            assert_eq!(ask(&format!("GET / HTTP/{version}")), Ask::Index);
            assert_eq!(ask(&format!("GET /status HTTP/{version}")), Ask::Refused("404 Not Found"));
            assert_eq!(
                ask(&format!("POST /metrics HTTP/{version}")),
                Ask::Refused("405 Method Not Allowed\r\nAllow: GET")
            );
        }
        assert_eq!(ask("GET /metrics HTTP/1.1"), facts(Format::Metrics, Framing::Chunks));
        assert_eq!(ask("GET /metrics HTTP/1.0"), facts(Format::Metrics, Framing::Close));
        assert_eq!(ask("GET /status.json HTTP/1.1"), facts(Format::Json, Framing::Chunks));
        assert_eq!(ask("GET /status.json HTTP/1.0"), facts(Format::Json, Framing::Close));
    }

    #[test]
    fn a_target_with_an_authority_is_no_page() {
        let request = "GET http://evil.example/status.json HTTP/1.1\r\n\r\n";
        assert_eq!(parse(request.as_bytes()), Some(Ask::Refused("404 Not Found")));
    }
}
