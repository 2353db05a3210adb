//! Where a registry may be, and where it may lead. An image's name, and whatever a registry answers, is written by people
//! who may see less of the network than the daemon: neither makes it ask places inside for them.
//!
//! Names are resolved before, and once more to connect: whoever changes their own name in between is stopped by TLS alone,
//! for nothing inside has a certificate of theirs. A registry that an image names may be inside, for that is where many are:
//! it is asked for a manifest by TLS, and nobody is told more than whether there is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::asking::NoAnswer;
use crate::sources::http::{Options, addresses};

/// Whether a place is the machine of whoever says its name.
pub(super) fn is_loopback(url: &Url) -> bool {
    let is_own = |address: IpAddr| {
        let address = address.to_canonical();
        address.is_loopback() || address.is_unspecified()
    };
    let is_named = |name: &str| name == "localhost" || name.ends_with(".localhost");
    url.domain().is_some_and(is_named) || literal(url).is_some_and(is_own)
}

/// Whether it is named by an address of the link, where clouds tell machines their credentials.
pub(super) fn is_of_link(url: &Url) -> bool {
    literal(url).is_some_and(is_link_local)
}

fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn is_link_local(address: IpAddr) -> bool {
    match meant(address) {
        IpAddr::V4(it) => it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    }
}

/// Whether nobody outside is there.
fn is_inner(address: IpAddr) -> bool {
    match meant(address) {
        IpAddr::V4(it) => {
            let [a, b, ..] = it.octets();
            let is_of_provider = a == 100 && b & 0xc0 == 64;
            let is_for_tests = a == 198 && b & 0xfe == 18;
            it.is_private()
                || it.is_loopback()
                || it.is_link_local()
                || it.is_multicast()
                || it.is_broadcast()
                || a == 0
                || is_of_provider
                || is_for_tests
        }
        IpAddr::V6(it) => {
            it.is_loopback()
                || it.is_unspecified()
                || it.is_unique_local()
                || it.is_unicast_link_local()
                || it.is_multicast()
        }
    }
}

/// What stands in an address of the newer kind for one of the older.
fn meant(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) if it.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = Ipv6Addr::octets(&it);
            Ipv4Addr::new(a, b, c, d).into()
        }
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    }
}

async fn found(url: &Url, options: &Options) -> Result<Vec<IpAddr>, NoAnswer> {
    match (literal(url), url.domain()) {
        (Some(address), _) => Ok(vec![address]),
        (None, Some(name)) => match addresses(name, options).await {
            Ok(found) => Ok(found.into_iter().collect()),
            Err(fault) => Err(NoAnswer::odd(format!("it leads to {name}: {fault}"))),
        },
        (None, None) => Err(NoAnswer::odd("it leads to nowhere")),
    }
}

/// Whether a registry may lead there. To places inside only one that is itself inside, in its own domain, or one that
/// somebody vouched for.
pub(super) async fn check(
    registry: &Url,
    to: &Url,
    is_vouched_for: bool,
    options: &Options,
) -> Result<(), NoAnswer> {
    if registry.host() == to.host() {
        return Ok(());
    }
    let there = found(to, options).await?;
    let refused = || Err(NoAnswer::odd("it leads to a place inside that is not its own"));
    if there.iter().copied().any(is_link_local) {
        return refused();
    }
    if is_vouched_for || !there.into_iter().any(is_inner) {
        return Ok(());
    }
    let is_inside = found(registry, options).await?.into_iter().all(is_inner);
    if is_inside && is_of_one_domain(registry, to) { Ok(()) } else { refused() }
}

pub(super) fn is_as_safe(from: &Url, to: &Url) -> bool {
    to.scheme() == "https" || to.scheme() == "http" && from.scheme() == "http"
}

/// As `registry-1.docker.io` and `auth.docker.io` are: nobody else is shown a password because a registry says so.
pub(super) fn is_of_one_domain(a: &Url, b: &Url) -> bool {
    let [Some(a), Some(b)] = [a, b].map(Url::domain) else { return a.host() == b.host() };
    let ending = |name: &str| {
        let mut labels: Vec<&str> = name.rsplit('.').take(2).collect();
        labels.reverse();
        (labels.len() == 2).then(|| labels.join("."))
    };
    a == b || ending(a).is_some_and(|of_a| ending(b) == Some(of_a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_password_is_shown_to_a_registry_and_its_own_domain_alone() {
        let same = |a: &str, b: &str| is_of_one_domain(&url(a), &url(b));
        assert!(same("https://registry-1.docker.io", "https://auth.docker.io"));
        assert!(same("https://registry.example.com", "https://example.com/jwt"));
        assert!(same("http://127.0.0.1:5000", "http://127.0.0.1:5001"));
        assert!(!same("http://127.0.0.1", "http://127.0.0.2"));
        assert!(!same("https://registry.example.com", "https://evil.com"));
        assert!(!same("https://registry", "https://token"));
        assert!(!same("https://10.0.0.1", "https://evil.com"));
    }

    #[test]
    fn what_began_with_tls_does_not_go_on_without_it() {
        assert!(!is_as_safe(&url("https://a.example"), &url("http://a.example")));
        assert!(is_as_safe(&url("http://127.0.0.1:1"), &url("http://127.0.0.1:2")));
    }

    #[test]
    fn places_inside_are_known_however_they_are_written() {
        let inner = "10.0.0.1 127.0.0.1 169.254.169.254 192.168.1.1 172.16.0.1 100.64.0.1 0.0.0.0 ::1 fe80::1 fd00::1 \
                     ::ffff:10.0.0.1 64:ff9b::a9fe:a9fe";
        for text in inner.split_whitespace() {
            assert!(is_inner(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "100.128.0.1", "2606:4700::1111", "172.32.0.1"] {
            assert!(!is_inner(text.parse().unwrap()), "{text}");
        }
        for text in ["http://0x7f.1:5000", "http://a.localhost", "http://[::ffff:127.0.0.1]"] {
            assert!(is_loopback(&url(text)), "{text}");
        }
        assert!(is_of_link(&url("https://2852039166:80")) && is_of_link(&url("https://[fe80::1]")));
    }

    #[tokio::test]
    async fn a_registry_leads_to_places_inside_only_where_it_is_one() {
        let options = Options::default();
        let may = async |from: &str, to: &str, is_vouched_for: bool| {
            check(&url(from), &url(to), is_vouched_for, &options).await.is_ok()
        };
        assert!(may("https://8.8.8.8", "https://1.1.1.1", false).await);
        assert!(may("https://10.0.0.1:5000", "https://10.0.0.1/token", false).await);
        assert!(!may("https://10.0.0.1", "https://10.0.0.2", false).await);
        assert!(!may("https://8.8.8.8", "https://localhost", false).await);
        for inner in ["https://10.0.0.1", "https://[fd00::1]", "https://169.254.169.254"] {
            assert!(!may("https://8.8.8.8", inner, false).await, "{inner}");
        }
        assert!(may("http://10.0.0.1", "http://10.0.0.2", true).await);
        assert!(!may("http://10.0.0.1", "http://169.254.169.254", true).await);
    }
}
