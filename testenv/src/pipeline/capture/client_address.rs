//! Whose request it is: the first address that proxies say, or the one at the other end (rust/capture takes it of the crate
//! `axum-client-ip`, `InsecureClientIp`).

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

/// The client's address. What stands in `x-forwarded-for` and is no address is passed over.
pub(super) fn of(headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let mut named = forwarded.flat_map(|value| value.split(',')).filter_map(|text| text.trim().parse().ok());
    named.next().unwrap_or_else(|| peer.ip())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_first_address_is_the_clients() {
        let peer = "10.0.0.1:4000".parse().unwrap();
        for (said, expected) in [
            (&[][..], "10.0.0.1"),
            (&["192.0.2.7"], "192.0.2.7"),
            (&[" 192.0.2.7 , 198.51.100.1"], "192.0.2.7"),
            (&["unknown, 2001:db8::1"], "2001:db8::1"),
            (&["", "192.0.2.8"], "192.0.2.8"),
            (&["nobody"], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            assert_eq!(of(&headers, peer).to_string(), expected, "{said:?}");
        }
    }
}
