//! LISP-SEC authentication data.

use super::{Tree, record};
use crate::lisp::{EcmSecurity, EidAuthentication, EidClaim, MapReplySecurity};

/// What follows the header of an ECM.
pub(super) fn of_ecm(security: &EcmSecurity) -> Tree {
    const LABEL: &str = "ECM Authentication Data";
    match security {
        EcmSecurity::LispSec(key) => Tree::node(
            LABEL,
            vec![
                Tree::text("ECM AD Type", "LISP-SEC (1)"),
                Tree::number("Requested HMAC ID", key.requested_hmac),
                Tree::number("Key ID", key.key_id),
                Tree::number("OTK Wrapping ID", key.wrapping),
                Tree::octets("One-Time-Key Preamble", &key.preamble),
                Tree::octets("One-Time Key", &key.key),
                of_eids(&key.eids),
            ],
        ),
        EcmSecurity::Rtr(authentication) => Tree::node(
            LABEL,
            vec![
                Tree::text("ECM AD Type", "RTR (2)"),
                record::authentication("RTR Authentication", authentication),
            ],
        ),
    }
}

/// What follows the records of a Map-Reply.
pub(super) fn of_reply(security: &MapReplySecurity) -> Tree {
    Tree::node(
        "Map-Reply Authentication Data",
        vec![
            Tree::text("MR AD Type", "LISP-SEC (1)"),
            of_eids(&security.eids),
            Tree::number("PKT HMAC ID", security.hmac_id),
            Tree::octets("PKT HMAC", &security.hmac),
        ],
    )
}

fn of_eids(eids: &EidAuthentication) -> Tree {
    let mut children = vec![Tree::number("KDF ID", eids.kdf)];
    if let Some(EidClaim { etr_cannot_sign, hmac_id, eids, hmac }) = &eids.claim {
        let eid = |eid| Tree::node("Record", record::eid(eid).into());
        children.extend([
            Tree::flag("ETR-Cant-Sign (E)", *etr_cannot_sign),
            Tree::number("EID HMAC ID", *hmac_id),
            Tree::list("EIDs", eids.iter().map(eid)),
            Tree::octets("EID HMAC", hmac),
        ]);
    }
    Tree::node("EID-AD", children)
}
