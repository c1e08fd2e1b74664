//! ECN across a tunnel (RFC 6040): normal mode at the entrance, its table at the exit.

/// The two ECN bits of a traffic class.
pub const MASK: u8 = 0b11;
/// Congestion experienced.
pub const CE: u8 = 0b11;
/// ECN-capable, codepoint 0.
pub const ECT_0: u8 = 0b10;
/// ECN-capable, codepoint 1.
pub const ECT_1: u8 = 0b01;
/// Not ECN-capable.
pub const NOT_ECT: u8 = 0b00;

/// RFC 6040 §4.1: the outer ECN field in normal mode, a copy of the inner.
pub const fn encapsulate(inner: u8) -> u8 {
    inner & MASK
}

/// RFC 6040 §4.2, figure 4: the ECN field the packet continues with; `None` = drop it, because
/// congestion was marked and its sender would not learn of it otherwise.
pub const fn decapsulate(inner: u8, outer: u8) -> Option<u8> {
    match (inner & MASK, outer & MASK) {
        (NOT_ECT, CE) => None,
        (NOT_ECT, _) => Some(NOT_ECT),
        (_, CE) | (CE, _) => Some(CE),
        (ECT_0, ECT_1) => Some(ECT_1),
        (inner, _) => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_follows_the_table() {
        // Rows: inner; columns: outer Not-ECT, ECT(0), ECT(1), CE.
        let table = [
            (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
            (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
            (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
            (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
        ];
        for (inner, row) in table {
            for (outer, continues) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                assert_eq!(decapsulate(inner, outer), continues, "{inner:02b} in {outer:02b}");
            }
        }
    }

    #[test]
    fn entrance_copies_two_bits() {
        assert_eq!(encapsulate(0xb8 | ECT_0), ECT_0);
    }
}
