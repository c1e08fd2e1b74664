//! Data headers, field by field.

use super::Tree;
use crate::addr::InstanceId;
use crate::lisp::data::{
    DataHeader, LispGpeHeader, LispHeader, NextProtocol, NonceField, VxlanGpeHeader, VxlanHeader,
};
use std::fmt;

impl fmt::Display for NextProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4 => f.pad("IPv4"),
            Self::Ipv6 => f.pad("IPv6"),
            Self::Ethernet => f.pad("Ethernet"),
            Self::Nsh => f.pad("NSH"),
            Self::Shim(number) => write!(f, "shim {number:#04x}"),
            Self::Other(number) => write!(f, "unknown {number:#04x}"),
        }
    }
}

impl DataHeader {
    /// What the encapsulation is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lisp(_) => "LISP data",
            Self::LispGpe(_) => "LISP-GPE data",
            Self::VxlanGpe(_) => "VXLAN-GPE data",
            Self::Vxlan(_) => "VXLAN data",
        }
    }

    /// Every field of the header.
    pub fn tree(self) -> Tree {
        let children = match self {
            Self::Lisp(header) => of_lisp(header),
            Self::LispGpe(header) => of_lisp_gpe(header),
            Self::VxlanGpe(header) => of_vxlan_gpe(header),
            Self::Vxlan(header) => of_vxlan(header),
        };
        Tree::node(self.name(), children)
    }
}

fn of_lisp(header: LispHeader) -> Vec<Tree> {
    let (echo, nonce) = match header.nonce {
        NonceField::Unused => (false, Vec::new()),
        NonceField::Nonce { nonce, echo } => {
            (echo, vec![Tree::text("Nonce", format_args!("{nonce:06x}"))])
        }
        NonceField::Versions { source, destination } => (
            false,
            vec![
                Tree::number("Source Map-Version", source),
                Tree::number("Dest Map-Version", destination),
            ],
        ),
    };
    let mut children = vec![
        Tree::flag("Nonce-present (N)", matches!(header.nonce, NonceField::Nonce { .. })),
        Tree::flag("Locator-Status-Bits (L)", header.locator_status.is_some()),
        Tree::flag("Echo-Nonce-Request (E)", echo),
        Tree::flag("Map-Version (V)", matches!(header.nonce, NonceField::Versions { .. })),
        Tree::flag("Instance-ID-present (I)", header.instance.is_some()),
        Tree::flag("Next-Protocol-present (P)", false),
        Tree::number("Key ID (KK)", header.key_id),
    ];
    children.extend(nonce);
    children.extend(instance(header.instance, header.locator_status));
    children
}

fn of_lisp_gpe(header: LispGpeHeader) -> Vec<Tree> {
    let mut children = vec![
        Tree::flag("Locator-Status-Bits (L)", header.locator_status.is_some()),
        Tree::flag("Instance-ID-present (I)", header.instance.is_some()),
        Tree::flag("Next-Protocol-present (P)", true),
        Tree::number("Key ID (KK)", header.key_id),
        next(header.next),
    ];
    children.extend(instance(header.instance, header.locator_status));
    children
}

fn of_vxlan_gpe(header: VxlanGpeHeader) -> Vec<Tree> {
    let mut children = vec![
        Tree::flag("Instance (I)", header.vni.is_some()),
        Tree::flag("Next-Protocol-present (P)", true),
        Tree::flag("BUM (B)", header.bum),
        Tree::flag("OAM (O)", header.oam),
        next(header.next),
    ];
    children.extend(header.vni.map(|vni| Tree::number("VNI", vni.get())));
    children
}

fn of_vxlan(header: VxlanHeader) -> Vec<Tree> {
    let mut children = vec![
        Tree::flag("Group-Based-Policy (G)", header.policy.is_some()),
        Tree::number("VNI", header.vni.get()),
    ];
    if let Some(policy) = header.policy {
        children.extend([
            Tree::flag("Dont-Learn (D)", policy.dont_learn),
            Tree::flag("Policy-Applied (A)", policy.applied),
            Tree::number("Group Policy ID", policy.group),
        ]);
    }
    children
}

fn next(next: NextProtocol) -> Tree {
    Tree::text("Next Protocol", format_args!("{next} ({})", next.number()))
}

fn instance(instance: Option<InstanceId>, locator_status: Option<u32>) -> Vec<Tree> {
    let status = locator_status
        .map(|bits| Tree::text("Locator-Status-Bits bitfield", format_args!("{bits:#x}")));
    let instance = instance.map(|instance| Tree::number("Instance ID", instance.get()));
    instance.into_iter().chain(status).collect()
}
