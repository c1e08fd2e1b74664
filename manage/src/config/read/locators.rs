//! `[locator-set.NAME]` and inline `rlocs`: where a site can be reached, and the local uplinks
//! that follow from it.

use std::collections::BTreeMap;

use weft_control::lisp::config::{Place as RlocPlace, Rloc};
use weft_fib::UplinkId;

use super::Names;
use super::interfaces::Interfaces;
use crate::config::document::Node;
use crate::config::report::{Place, Report};
use crate::config::resolved::{Uplink, UplinkNames, UplinkPlace};
use crate::config::section::{Section, list, nearest, parse_ip};

/// Named locator-sets, and every uplink some locator refers to.
pub(in crate::config) struct Locators {
    sets: Names<Vec<Rloc>>,
    uplinks: BTreeMap<UplinkId, Uplink>,
    interfaces: Interfaces,
}

impl Locators {
    pub(super) fn read(
        top: &mut Section<'_>,
        names: &mut UplinkNames,
        report: &mut Report,
    ) -> Self {
        let mut locators = Self {
            sets: Names::new(),
            uplinks: BTreeMap::new(),
            interfaces: Interfaces::default(),
        };
        let Some(mut all) = top.section("locator-set", report) else { return locators };
        for (name, mut section) in all.named(report) {
            let place = section.place().clone();
            let mut rlocs = Vec::new();
            if let Some(node) = section.take("rlocs") {
                rlocs = locators.rlocs(node, true, names, report);
            } else {
                section.missing("rlocs", "[{ interface = \"eth0\" }]", report);
            }
            section.finish(report);
            locators.sets.insert(name.to_owned(), (place, rlocs));
        }
        locators
    }

    /// Reads a list of locators; `ours`: an address that does not say is this router's.
    pub(super) fn rlocs(
        &mut self,
        node: &Node,
        ours: bool,
        names: &mut UplinkNames,
        report: &mut Report,
    ) -> Vec<Rloc> {
        let items = list(node, "rlocs", report);
        let rlocs: Vec<_> =
            items.iter().filter_map(|item| self.rloc(item, ours, names, report)).collect();
        if items.is_empty() {
            report.error(&node.place, "a locator-set needs at least one locator", "this is empty");
        }
        if rlocs.len() > 255 {
            report.error(&node.place, "a locator-set holds at most 255 locators", "here");
        }
        rlocs
    }

    fn rloc(
        &mut self,
        node: &Node,
        ours: bool,
        names: &mut UplinkNames,
        report: &mut Report,
    ) -> Option<Rloc> {
        let mut section = Section::new(node, "rlocs", report)?;
        let interface = section.text("interface", report).map(str::to_owned);
        let written = section.take("interface").map(|node| &node.place);
        let address = section.parsed("address", report, parse_ip);
        let families = [("any", None), ("ipv4", Some(false)), ("ipv6", Some(true))];
        let ipv6 = section.choice("family", &families, report).flatten();
        let local = section.flag("local", report);
        let priority = section.number("priority", 0..=255, report).unwrap_or(1);
        let weight = section.number("weight", 0..=255, report).unwrap_or(100);
        let multicast_priority =
            section.number("multicast-priority", 0..=255, report).unwrap_or(255);
        let multicast_weight = section.number("multicast-weight", 0..=255, report).unwrap_or(0);
        section.finish(report);
        let place = match (interface, address) {
            (Some(name), None) => {
                self.interfaces.note(&name, written.unwrap_or(&node.place));
                let place = UplinkPlace::Interface { name, ipv6 };
                RlocPlace::Uplink(self.uplink(
                    place,
                    priority,
                    weight,
                    names,
                    &node.place,
                    report,
                )?)
            }
            (None, Some(rloc)) => {
                check_rloc(rloc, &node.place, report);
                let local = local.unwrap_or(ours);
                if local {
                    let place = UplinkPlace::Address(rloc);
                    self.uplink(place, priority, weight, names, &node.place, report)?;
                }
                RlocPlace::Address { rloc, local }
            }
            _ => {
                report.error_with_help(
                    &node.place,
                    "a locator is either an interface or an address",
                    "",
                    Some("write { interface = \"eth0\" } or { address = \"192.0.2.1\" }".into()),
                );
                return None;
            }
        };
        Some(Rloc { place, priority, weight, multicast_priority, multicast_weight })
    }

    fn uplink(
        &mut self,
        place: UplinkPlace,
        priority: u8,
        weight: u8,
        names: &mut UplinkNames,
        at: &Place,
        report: &mut Report,
    ) -> Option<UplinkId> {
        let Some(id) = names.id(&place) else {
            report.error(at, "more than 65536 different uplinks", "this one is too many");
            return None;
        };
        // A locator others must not use (priority 255) still serves to send from.
        self.uplinks.entry(id).or_insert(Uplink { id, place, priority, weight });
        Some(id)
    }

    /// The locator-set people call `name`.
    pub(super) fn by_name(&self, name: &str, place: &Place, report: &mut Report) -> Vec<Rloc> {
        if let Some((_, rlocs)) = self.sets.get(name) {
            return rlocs.clone();
        }
        let help = nearest(name, self.sets.keys().map(String::as_str)).map_or_else(
            || format!("add [locator-set.{name}]"),
            |known| format!("did you mean `{known}`?"),
        );
        let message = format!("no locator-set is called `{name}`");
        report.error_with_help(place, message, "referenced here", Some(help));
        Vec::new()
    }

    /// The interfaces that are named.
    pub(super) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    pub(super) fn into_uplinks(self) -> Vec<Uplink> {
        self.uplinks.into_values().collect()
    }
}

/// An RLOC must be an address a packet can be sent to over the Internet, or a private network.
pub(super) fn check_rloc(rloc: std::net::IpAddr, place: &Place, report: &mut Report) {
    let what = if rloc.is_multicast() {
        "a multicast address"
    } else if rloc.is_unspecified() {
        "the unspecified address"
    } else if matches!(rloc, std::net::IpAddr::V4(v4) if v4.is_broadcast()) {
        "the broadcast address"
    } else if matches!(rloc, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        "a link-local address"
    } else {
        return;
    };
    report.error(place, format!("{rloc} is {what}; it cannot be an RLOC"), "here");
}
