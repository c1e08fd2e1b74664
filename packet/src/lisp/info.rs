//! Info-Request and Info-Reply: how does my address look from outside? (NAT traversal draft §4)

/// An Info-Request or Info-Reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {}
