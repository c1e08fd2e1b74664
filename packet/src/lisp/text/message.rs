//! Control messages, field by field.

use super::{Tree, Value, address, record, security};
use crate::lisp::{
    Address, Encapsulated, Info, InfoBody, Lcaf, MapNotify, MapReferral, MapRegister, MapReply,
    MapRequest, Message, NotifyKind, RequestedEid,
};

impl Message {
    /// What RFC 9301 §5.1 calls this message.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MapRequest(_) => "Map-Request",
            Self::MapReply(_) => "Map-Reply",
            Self::MapRegister(_) => "Map-Register",
            Self::MapNotify(MapNotify { kind: NotifyKind::Notify, .. }) => "Map-Notify",
            Self::MapNotify(MapNotify { kind: NotifyKind::Ack, .. }) => "Map-Notify-Ack",
            Self::MapReferral(_) => "Map-Referral",
            Self::Info(Info { body: InfoBody::Request { .. }, .. }) => "Info-Request",
            Self::Info(Info { body: InfoBody::Reply(_), .. }) => "Info-Reply",
            Self::Encapsulated(_) => "Encapsulated Control Message",
            Self::Extension { .. } => "LISP Shared Extension",
        }
    }

    /// Every field of the message.
    pub fn tree(&self) -> Tree {
        let children = match self {
            Self::MapRequest(request) => of_request(request),
            Self::MapReply(reply) => of_reply(reply),
            Self::MapRegister(register) => of_register(register),
            Self::MapNotify(notify) => of_notify(notify),
            Self::MapReferral(referral) => of_referral(referral),
            Self::Info(info) => of_info(info),
            Self::Encapsulated(encapsulated) => of_encapsulated(encapsulated),
            Self::Extension { sub_type, specific, body } => vec![
                Tree::number("Sub-type", *sub_type),
                Tree::text("Extension-specific", format_args!("{specific:#06x}")),
                Tree::octets("Body", body),
            ],
        };
        Tree::node(self.name(), children)
    }
}

fn of_request(request: &MapRequest) -> Vec<Tree> {
    let requested = |RequestedEid { subscribe, eid }: &RequestedEid| {
        let [address, mask_len] = record::eid(eid);
        Tree::node(
            "Record",
            vec![Tree::flag("Notification-Requested (N)", *subscribe), mask_len, address],
        )
    };
    let mut children = vec![
        Tree::flag("Authoritative (A)", request.authoritative),
        Tree::flag("Map-Data-Present (M)", request.mapping.is_some()),
        Tree::flag("RLOC-probe (P)", request.probe),
        Tree::flag("Solicit-Map-Request (S)", request.smr),
        Tree::flag("PITR (p)", request.pitr),
        Tree::flag("SMR-invoked (s)", request.smr_invoked),
        Tree::flag("xTR-ID-Present (I)", request.xtr.is_some()),
        Tree::flag("Local-xTR (L)", request.local_xtr),
        Tree::flag("Dont-Map-Reply (D)", request.no_reply),
        Tree::text("Nonce", request.nonce),
        address::address("Source EID", &request.source_eid),
        Tree::list(
            "ITR-RLOCs",
            request.itr_rlocs.iter().map(|rloc| address::address("ITR-RLOC", rloc)),
        ),
        Tree::list("Records", request.eids.iter().map(requested)),
    ];
    children.extend(
        request.mapping.as_ref().map(|mapping| record::record("Map-Reply Record", mapping)),
    );
    children.extend(record::ids(request.xtr));
    children
}

fn of_reply(reply: &MapReply) -> Vec<Tree> {
    let mut children = vec![
        Tree::flag("RLOC-probe (P)", reply.probe),
        Tree::flag("Echo-Nonce-Capable (E)", reply.echo_nonce),
        Tree::flag("Security (S)", reply.security.is_some()),
        Tree::text("Nonce", reply.nonce),
        record::records(&reply.records),
    ];
    children.extend(reply.security.as_ref().map(security::of_reply));
    children
}

fn of_register(register: &MapRegister) -> Vec<Tree> {
    let mut children = vec![
        Tree::flag("Proxy-Map-Reply (P)", register.proxy_reply),
        Tree::flag("LISP-SEC-Capable (S)", register.security),
        Tree::flag("xTR-ID-Present (I)", register.xtr.is_some()),
        Tree::flag("EID-Notify (E)", register.eid_notify),
        Tree::flag("Use-TTL (T)", register.use_ttl),
        Tree::flag("Merge-Request (a)", register.merge),
        Tree::flag("Mobile-Node (R)", register.mobile_node),
        Tree::flag("Want-Map-Notify (M)", register.want_notify),
        Tree::text("Nonce", register.nonce),
        record::authentication("Authentication", &register.authentication),
        record::records(&register.records),
    ];
    children.extend(record::ids(register.xtr));
    children
}

fn of_notify(notify: &MapNotify) -> Vec<Tree> {
    let mut children = vec![
        Tree::flag("xTR-ID-Present (I)", notify.xtr.is_some()),
        Tree::text("Nonce", notify.nonce),
        record::authentication("Authentication", &notify.authentication),
        record::records(&notify.records),
    ];
    children.extend(record::ids(notify.xtr));
    children
}

fn of_referral(referral: &MapReferral) -> Vec<Tree> {
    vec![
        Tree::text("Nonce", referral.nonce),
        Tree::list("Records", referral.records.iter().map(record::referral)),
    ]
}

fn of_info(info: &Info) -> Vec<Tree> {
    let [eid, mask_len] = record::eid(&info.eid);
    let tail = match &info.body {
        InfoBody::Request { host: None } => None,
        InfoBody::Request { host: Some(host) } => Some(Tree::text("Hostname", host.escape_debug())),
        InfoBody::Reply(nat) => {
            let lcaf = Address::from(Lcaf::NatTraversal(nat.clone()));
            Some(address::address("NAT-Traversal", &lcaf))
        }
    };
    let mut children = vec![
        Tree::flag("Reply (R)", matches!(info.body, InfoBody::Reply(_))),
        Tree::text("Nonce", info.nonce),
        record::authentication("Authentication", &info.authentication),
        record::ttl("TTL (minutes)", info.ttl),
        mask_len,
        eid,
    ];
    children.extend(tail);
    children
}

fn of_encapsulated(ecm: &Encapsulated) -> Vec<Tree> {
    let mut children = vec![
        Tree::flag("Security (S)", ecm.security.is_some()),
        Tree::flag("DDT-originated (D)", ecm.ddt),
        Tree::flag("To-ETR (E)", ecm.to_etr),
        Tree::flag("To-MS (M)", ecm.to_map_server),
        Tree::flag("RTR-process (R)", ecm.rtr),
        Tree::flag("RTR-relayed (N)", ecm.relayed),
    ];
    children.extend(ecm.security.as_ref().map(security::of_ecm));
    children.extend([
        Tree::text("Inner Source", ecm.source),
        Tree::text("Inner Destination", ecm.destination),
        Tree::number("Inner TTL", ecm.hops),
        Tree {
            label: "LISP Control Message",
            value: Value::Text(ecm.message.name().to_owned()),
            children: ecm.message.tree().children,
        },
    ]);
    children
}
