//! What an operator may choose.

/// TTL of outer packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// The inner packet's (RFC 9300 §5.3), so that traceroute and loops see every hop.
    #[default]
    Copy,
    /// Always this; 0 is sent as 1.
    Fixed(u8),
}

/// DSCP of outer packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dscp {
    /// The inner packet's.
    #[default]
    Copy,
    /// Always this, 0 to 63.
    Fixed(u8),
}

/// Whether the maximum segment size in TCP SYN packets is lowered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MssClamp {
    /// Never.
    #[default]
    Off,
    /// To what fits the path MTU.
    Auto,
    /// To this many octets.
    Fixed(u16),
}

impl MssClamp {
    /// The largest MSS allowed where packets of `mtu` octets fit; `None` = any.
    pub fn limit(self, mtu: u16, ipv6: bool) -> Option<u16> {
        match self {
            Self::Off => None,
            // IP and TCP headers without options.
            Self::Auto => Some(mtu.saturating_sub(if ipv6 { 60 } else { 40 })),
            Self::Fixed(mss) => Some(mss),
        }
    }
}

/// What is asked of the outer source when a packet is decapsulated (RFC 9300 §16).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceCheck {
    /// Nothing.
    #[default]
    Off,
    /// It must be a locator of the inner source's mapping, if that mapping is known.
    Loose,
    /// The inner source's mapping must be known and hold it.
    Strict,
}

impl SourceCheck {
    /// The verdict on `matches`: whether the inner source's mapping holds the outer source,
    /// `None` where there is no mapping.
    pub fn accepts(self, matches: impl FnOnce() -> Option<bool>) -> bool {
        match self {
            Self::Off => true,
            Self::Loose => matches() != Some(false),
            Self::Strict => matches() == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_mapping_passes_only_the_loose_check() {
        for (check, verdicts) in [
            (SourceCheck::Off, [true, true, true]),
            (SourceCheck::Loose, [true, true, false]),
            (SourceCheck::Strict, [true, false, false]),
        ] {
            let matches = [Some(true), None, Some(false)];
            assert_eq!(matches.map(|m| check.accepts(|| m)), verdicts, "{check:?}");
        }
    }

    #[test]
    fn automatic_mss_leaves_room_for_headers() {
        assert_eq!(MssClamp::Auto.limit(1464, false), Some(1424));
        assert_eq!(MssClamp::Auto.limit(1444, true), Some(1384));
        assert_eq!(MssClamp::Auto.limit(20, true), Some(0));
        assert_eq!(MssClamp::Off.limit(1464, false), None);
    }
}
