//! From the tree of files to the resolved configuration, one file a part.

mod data_plane;
mod etr;
mod instances;
mod interfaces;
mod itr;
mod locators;
mod map_server;
mod node;
mod overlap;
mod secret;

use std::collections::BTreeMap;
use std::path::Path;

use weft_control::lisp::config::{self as lisp, Resolve};
use weft_packet::addr::InstanceId;

use super::document::Node;
use super::report::{Place, Report};
use super::resolved::{Config, UplinkNames};
use super::section::Section;
use instances::Instances;
use locators::Locators;
use weft_fib::Encapsulation;

/// What the parts share while they are read.
pub(super) struct Reading<'r> {
    pub(super) report: &'r mut Report,
    /// Where secrets written as `{ file = … }` are looked for.
    pub(super) folder: &'r Path,
    pub(super) instances: Instances,
    pub(super) locators: Locators,
}

pub(super) use interfaces::present as present_interfaces;

/// Reads everything. `None` when there were errors; they are in the report. `present`: the
/// interfaces of this machine, where they are known.
pub(super) fn read(
    root: &Node,
    folder: &Path,
    present: Option<&[String]>,
    names: &mut UplinkNames,
    report: &mut Report,
) -> Option<Config> {
    let mut top = Section::new(root, "", report)?;
    let (node, xtr_id, site_id) = node::node(&mut top, report);
    let log = node::log(&mut top, report);
    let management = node::management(&mut top, report);
    let (data_plane, encapsulation, cards) = data_plane::data_plane(&mut top, report);
    let instances = Instances::read(&mut top, report);
    let locators = Locators::read(&mut top, names, report);
    let mut reading = Reading { report, folder, instances, locators };
    let itr = itr::itr(&mut top, &mut reading, names);
    let etr = etr::etr(&mut top, &mut reading, names);
    let (map_server, listen_ms) = map_server::map_server(&mut top, &mut reading, names);
    let (map_resolver, listen_mr) = map_server::map_resolver(&mut top, &mut reading);
    let Reading { report, instances, locators, .. } = reading;
    if let Some(present) = present {
        cards.check(present, report);
        locators.interfaces().check(present, report);
        instances.interfaces().check(present, report);
    }
    let place = top.place().clone();
    let resolver = top.take("map-resolver").map_or_else(|| place.clone(), |n| n.place.clone());
    top.finish(report);
    let mut control_listen = listen_ms;
    control_listen.extend(listen_mr);
    control_listen.sort();
    control_listen.dedup();
    let instances = instances.into_resolved();
    let config = Config {
        node,
        log,
        uplinks: locators.into_uplinks(),
        data_plane,
        lisp: lisp::Config {
            xtr_id,
            site_id,
            instances: instances.iter().map(|i| i.id).collect(),
            encapsulation: encapsulation.unwrap_or(Encapsulation::Lisp),
            itr,
            etr,
            map_server,
            map_resolver,
        },
        instances,
        control_listen,
        management,
    };
    if report.errors() == 0 {
        check_roles(&config.lisp, &place, &resolver, report);
    }
    (report.errors() == 0).then_some(config)
}

fn check_roles(lisp: &lisp::Config, file: &Place, resolver: &Place, report: &mut Report) {
    let lisp::Config { itr, etr, map_server, map_resolver, .. } = lisp;
    if itr.is_none() && etr.is_none() && map_server.is_none() && map_resolver.is_none() {
        report.warning(
            file,
            "this router has no role",
            Some("add [itr] and [etr] for a site, or [map-server] and [map-resolver]".into()),
        );
    }
    let local = map_resolver.as_ref().is_some_and(|r| r.resolve == Resolve::Local);
    if local && map_server.is_none() {
        report.error_with_help(
            resolver,
            "[map-resolver] has nothing to take answers from",
            "",
            Some("add a [map-server], or map-resolver.map-servers = [\"ADDRESS\"]".into()),
        );
    }
}

/// The instance a table names by `instance-id` or `vpn`; the default one without.
pub(super) fn instance_of(section: &mut Section<'_>, reading: &mut Reading<'_>) -> InstanceId {
    let number = section
        .number::<u32>("instance-id", 0..=0xff_fffe, reading.report)
        .and_then(InstanceId::new);
    let Some(node) = section.take("vpn") else { return number.unwrap_or_default() };
    let Some(name) = super::section::text(node, "vpn", reading.report) else {
        return InstanceId::DEFAULT;
    };
    if number.is_some() {
        let help = Some("`vpn` is the name of an instance; leave one of them out".into());
        let message = "`vpn` and `instance-id` are both given";
        reading.report.error_with_help(&node.place, message, "", help);
    }
    reading.instances.by_name(name, &node.place, reading.report).unwrap_or_default()
}

/// Names with the place that defines them, to refuse the second definition and find a likely
/// meaning for an unknown one.
pub(super) type Names<T> = BTreeMap<String, (Place, T)>;
