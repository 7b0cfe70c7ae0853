//! Turns names into addresses for the one client, and refuses those a name must not lead to: here, at connect time, since a
//! name that was looked at a moment ago may lead elsewhere now (DNS rebinding). A connection keeps the address it was made to.
//! Knows names and addresses, no URLs; an address written as a number in a URL never comes here, `pull::origin_rule` sees it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A host the operator named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHost {
    /// In lower case, as a parsed URL has it.
    pub name: String,
    /// Where its addresses are expected (CIDR). Empty: anywhere but the link, multicast and no address at all.
    pub expected: Vec<Network>,
}

impl KnownHost {
    fn is_expected(&self, address: IpAddr) -> bool {
        self.expected.is_empty() || self.expected.iter().any(|network| network.contains(address))
    }
}

/// A range of addresses, `10.20.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The range `text` means, in CIDR notation; an address alone is a range of one. `None` when it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address.parse::<IpAddr>().ok()?, Some(bits.parse::<u8>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then_some(Self { address, bits })
    }

    /// Whether `address` lies in it. An IPv4 address written as IPv6 is the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                u32::from(ours) & mask == u32::from(theirs) & mask
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(ours) & mask == u128::from(theirs) & mask
            }
            _ => false,
        }
    }
}

/// Where an address leads, as far as it matters who named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere on the internet.
    Public,
    /// A private network (RFC 1918, RFC 6598, RFC 4193), or this machine: an EHR may well be there, a stranger's link not.
    Private,
    /// The link (cloud metadata services live there), multicast, class E, or no address at all: no EHR is there.
    Never,
}

/// Where `address` leads, whatever it is wrapped in: `::ffff:`, NAT64 and 6to4 are taken off first.
#[must_use]
pub fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(v4) => reach_of_v4(v4),
        IpAddr::V6(v6) => reach_of_v6(v6),
    }
}

fn reach_of_v4(v4: Ipv4Addr) -> Reach {
    let [a, b, c, _] = v4.octets();
    if a == 0 || v4.is_link_local() || a >= 224 {
        return Reach::Never;
    }
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    let is_protocol = (a, b, c) == (192, 0, 0);
    if v4.is_loopback() || v4.is_private() || is_shared || is_benchmark || is_protocol {
        return Reach::Private;
    }
    Reach::Public
}

fn reach_of_v6(v6: Ipv6Addr) -> Reach {
    let segments = v6.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if v6.is_loopback() {
        return Reach::Private;
    }
    match segments {
        // Before 1998 an IPv4 address was written so; `::` and `::1` are of this form, too.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => reach_of_v4(embedded(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => reach_of_v4(embedded(high, low)),
        [0x2002, high, low, ..] => reach_of_v4(embedded(high, low)),
        _ if v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() => Reach::Never,
        // Site-local addresses are long withdrawn, and still routed in old networks.
        [first, ..] if first & 0xffc0 == 0xfec0 || v6.is_unique_local() => Reach::Private,
        _ => Reach::Public,
    }
}

/// Why a name was not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unresolved {
    #[error("the name has no address")]
    Unknown,
    #[error("the name leads to an address it must not lead to")]
    Inward,
    #[error("the name leads out of the networks it is expected in")]
    Elsewhere,
}

/// What a name leads to, instead of the system's word.
type Answers = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

/// Looks names up otherwise than by the system: a test's network, in which names change.
#[derive(Clone)]
pub struct Lookup(Arc<Answers>);

impl Lookup {
    #[must_use]
    pub fn new(answers: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answers))
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookup")
    }
}

/// The client's resolver.
pub(super) struct Resolver {
    /// None: every name comes from the operator, and none is watched.
    pub(super) known: Option<Arc<[KnownHost]>>,
    pub(super) lookup: Option<Lookup>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (known, lookup) = (self.known.clone(), self.lookup.clone());
        Box::pin(async move {
            let name = name.as_str().to_ascii_lowercase();
            let found = match lookup {
                Some(Lookup(answers)) => answers(&name).into_iter().map(|address| SocketAddr::new(address, 0)).collect(),
                None => tokio::net::lookup_host((name.as_str(), 0))
                    .await
                    .map_err(|_| Unresolved::Unknown)?
                    .collect::<Vec<_>>(),
            };
            let addresses = allowed(&name, found, known.as_deref())?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// All of `found`, when each may be dialled. One bad address refuses the name: who mixes them means no good.
fn allowed(name: &str, found: Vec<SocketAddr>, known: Option<&[KnownHost]>) -> Result<Vec<SocketAddr>, Unresolved> {
    if found.is_empty() {
        return Err(Unresolved::Unknown);
    }
    let Some(known) = known else { return Ok(found) };
    let host = known.iter().find(|host| host.name.eq_ignore_ascii_case(name));
    for address in &found {
        match (host, reach(address.ip())) {
            (_, Reach::Never) | (None, Reach::Private) => return Err(Unresolved::Inward),
            (Some(host), _) if !host.is_expected(address.ip()) => return Err(Unresolved::Elsewhere),
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_known_by_where_it_leads_and_not_by_its_spelling() {
        let check = |expected: Reach, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(reach(ip(address)), expected, "{address}");
            }
        };
        check(
            Reach::Public,
            &[
                "93.184.216.34",
                "100.63.255.255",
                "100.128.0.0",
                "172.32.0.1",
                "2606:2800::1",
                "223.255.255.255",
            ],
        );
        check(
            Reach::Private,
            &[
                "127.0.0.1",
                "127.255.0.1",
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.0.1",
                "100.64.0.1",
                "100.127.255.255",
                "198.18.0.1",
                "192.0.0.8",
                "::1",
                "::ffff:10.0.0.1",
                "::ffff:127.0.0.1",
                "::127.0.0.1",
                "64:ff9b::7f00:1",
                "2002:7f00:1::",
                "fc00::1",
                "fd12::1",
                "fec0::1",
            ],
        );
        check(
            Reach::Never,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "169.254.169.254",
                "224.0.0.1",
                "239.1.1.1",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "fe80::1",
                "ff02::1",
                "::ffff:169.254.169.254",
                "::ffff:0.0.0.0",
                "64:ff9b::a9fe:a9fe",
                "2002:a9fe:a9fe::",
            ],
        );
    }

    #[test]
    fn a_network_contains_its_addresses_and_no_other() {
        for (network, inside, outside) in [
            ("10.20.0.0/16", "10.20.255.1", "10.21.0.0"),
            ("10.20.0.7", "10.20.0.7", "10.20.0.8"),
            ("10.20.0.0/16", "::ffff:10.20.3.4", "::ffff:10.21.3.4"),
            ("fd00:1::/32", "fd00:1::9", "fd00:2::9"),
            ("192.168.1.128/25", "192.168.1.200", "192.168.1.100"),
        ] {
            let range = Network::parse(network).unwrap();
            assert!(range.contains(ip(inside)), "{inside} in {network}");
            assert!(!range.contains(ip(outside)), "{outside} in {network}");
        }
        assert!(Network::parse("0.0.0.0/0").unwrap().contains(ip("9.9.9.9")));
        for odd in ["", "10.0.0.0/33", "::/129", "ehr.test", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_name_leads_inward_only_when_the_operator_named_it() {
        let ehr = KnownHost {
            name: "ehr.test".to_owned(),
            expected: Vec::new(),
        };
        let narrow = KnownHost {
            name: "narrow.test".to_owned(),
            expected: vec![Network::parse("10.1.0.0/16").unwrap()],
        };
        let known = [ehr, narrow];
        let check = |name: &str, addresses: &[&str], expected: Result<(), Unresolved>| {
            let found = addresses.iter().map(|address| SocketAddr::new(ip(address), 0)).collect();
            assert_eq!(allowed(name, found, Some(&known)).map(drop), expected, "{name} {addresses:?}");
        };
        check("ehr.test", &["10.0.0.1"], Ok(()));
        check("EHR.test", &["127.0.0.1"], Ok(()));
        check("ehr.test", &["169.254.169.254"], Err(Unresolved::Inward));
        check("ehr.test", &[], Err(Unresolved::Unknown));
        check("narrow.test", &["10.1.2.3"], Ok(()));
        check("narrow.test", &["10.2.2.3"], Err(Unresolved::Elsewhere));
        check("narrow.test", &["93.184.216.34"], Err(Unresolved::Elsewhere));
        check("files.test", &["93.184.216.34"], Ok(()));
        check("files.test", &["10.0.0.1"], Err(Unresolved::Inward));
        check("files.test", &["93.184.216.34", "127.0.0.1"], Err(Unresolved::Inward));
        check("ehr.test.", &["127.0.0.1"], Err(Unresolved::Inward));
        let found = vec![SocketAddr::new(ip("127.0.0.1"), 0)];
        assert_eq!(
            allowed("files.test", found.clone(), Some(&[])),
            Err(Unresolved::Inward),
            "an empty list allows nothing"
        );
        assert_eq!(allowed("files.test", found.clone(), None), Ok(found));
    }
}
