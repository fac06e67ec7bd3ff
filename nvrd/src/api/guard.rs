//! Keeps pages of other sites out: they can reach a loopback address from the browser of whoever sits there.

use std::net::{Ipv4Addr, Ipv6Addr};

use warp::host::Authority;
use warp::http::header::CONTENT_ENCODING;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::error::{ApiError, ApiResult};

/// Refuses hosts that are not this machine, and changes asked for by pages of another origin.
///
/// A name that someone lets point to 127.0.0.1 would otherwise make a foreign page same-origin with the API.
/// `host` is `None` when it cannot be read, and holds `None` when there is none.
/// Where users log in (`open` is false) a foreign name gains nothing, and the listener may have any name.
pub(super) fn check(
    method: &Method,
    host: Option<&Option<Authority>>,
    origin: Option<&HeaderValue>,
    open: bool,
    tls: bool,
) -> ApiResult<()> {
    let host = host
        .ok_or_else(|| ApiError::bad_request("Host: the header cannot be read"))?
        .as_ref();
    // Only HTTP/1.0 clients send none, and no browser is one.
    if let Some(host) = host.filter(|host| open && !is_loopback(host.host())) {
        return Err(forbidden(format!(
            "Host: {host} is not this machine: use localhost, 127.0.0.1 or [::1]"
        )));
    }
    let foreign = |origin: &&HeaderValue| {
        !origin
            .to_str()
            .is_ok_and(|origin| is_same(origin, host, tls))
    };
    match origin.filter(foreign) {
        Some(origin) if !method.is_safe() => Err(forbidden(format!(
            "Origin: a page of {origin:?} may not change anything here"
        ))),
        _ => Ok(()),
    }
}

/// Refuses what a page of another origin asks for, though it would change nothing: a socket is read by whoever
/// opened it.
pub(super) fn own_page(
    host: Option<&Authority>,
    origin: Option<&HeaderValue>,
    tls: bool,
) -> ApiResult<()> {
    let Some(origin) = origin else { return Ok(()) };
    let same = |origin| is_same(origin, host, tls);
    match origin.to_str().is_ok_and(same) {
        true => Ok(()),
        false => Err(forbidden(format!(
            "Origin: a page of {origin:?} may not listen here"
        ))),
    }
}

/// Refuses bodies that would have to be unpacked: a small one can become any size.
pub(super) fn check_encoding(headers: &HeaderMap) -> ApiResult<()> {
    let packed = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(packed) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Encoding: send the body as it is",
        ));
    }
    Ok(())
}

fn forbidden(detail: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, detail)
}

fn is_loopback(host: &str) -> bool {
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(v6) => v6
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback()),
        None => {
            host.eq_ignore_ascii_case("localhost")
                || host
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    }
}

/// Whether a page of `origin` was served by this very listener.
fn is_same(origin: &str, host: Option<&Authority>, tls: bool) -> bool {
    let authority = origin
        .strip_prefix(if tls { "https://" } else { "http://" })
        .and_then(|rest| rest.parse::<Authority>().ok());
    authority.zip(host).is_some_and(|(a, b)| a == *b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_loopback_or_refused() {
        let check_host = |host: &str, allowed: bool| {
            let host: Authority = host.parse().unwrap();
            assert_eq!(
                check(&Method::GET, Some(&Some(host.clone())), None, true, false).is_ok(),
                allowed,
                "{host}"
            );
        };
        for good in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:8000",
            "127.8.9.10",
            "[::1]:8000",
            "[::1]",
        ] {
            check_host(good, true);
        }
        for bad in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "10.0.0.5",
            "0.0.0.0",
            "[::2]",
            "2130706433",
        ] {
            check_host(bad, false);
        }
        assert!(check(&Method::GET, Some(&None), None, true, false).is_ok());
        assert!(check(&Method::GET, None, None, true, false).is_err());
        let host: Authority = "nvr.example:8000".parse().unwrap();
        assert!(check(&Method::GET, Some(&Some(host)), None, false, false).is_ok());
    }

    #[test]
    fn changes_come_from_programs_or_from_our_own_pages() {
        let host: Option<Authority> = Some("localhost:8000".parse().unwrap());
        let check_over =
            |tls: bool, method: Method, origin: Option<&'static str>, allowed: bool| {
                let origin = origin.map(HeaderValue::from_static);
                assert_eq!(
                    check(&method, Some(&host), origin.as_ref(), true, tls).is_ok(),
                    allowed,
                    "{method} {origin:?} {tls}"
                );
            };
        check_over(true, Method::POST, Some("https://localhost:8000"), true);
        check_over(true, Method::POST, Some("http://localhost:8000"), false);
        let check_origin = |method: Method, origin: Option<&'static str>, allowed: bool| {
            check_over(false, method, origin, allowed);
        };
        check_origin(Method::POST, None, true);
        check_origin(Method::POST, Some("http://localhost:8000"), true);
        check_origin(Method::GET, Some("https://evil.example"), true);
        for bad in [
            "https://evil.example",
            "null",
            "http://localhost:3000",
            "https://localhost:8000",
            "",
            "http://localhost:8000@evil.example",
        ] {
            check_origin(Method::DELETE, Some(bad), false);
        }
    }
}
