//! `[vpn.NAME]`: instances, and the interfaces their hosts are behind.

use std::collections::{BTreeMap, BTreeSet};

use weft_packet::addr::InstanceId;

use super::Names;
use super::interfaces::Interfaces;
use crate::config::report::{Place, Problem, Report, Severity};
use crate::config::resolved::Instance;
use crate::config::section::{Section, nearest, parse_text};

/// All instances by name.
pub(in crate::config) struct Instances {
    names: Names<Instance>,
    numbered: BTreeSet<InstanceId>,
    interfaces: Interfaces,
}

impl Instances {
    pub(super) fn read(top: &mut Section<'_>, report: &mut Report) -> Self {
        let mut instances = Self {
            names: Names::new(),
            numbered: BTreeSet::new(),
            interfaces: Interfaces::default(),
        };
        let Some(mut all) = top.section("vpn", report) else { return instances };
        for (name, section) in all.named(report) {
            instances.add(name, section, report);
        }
        instances
    }

    fn add(&mut self, name: &str, mut section: Section<'_>, report: &mut Report) {
        let id = section.number::<u32>("instance-id", 0..=0xff_fffe, report);
        let interfaces = section.list("interfaces", report, parse_text);
        if section.take("instance-id").is_none() {
            section.missing("instance-id", "7", report);
        }
        let place = section.place().clone();
        section.finish(report);
        for (interface, here) in &interfaces {
            if let Some(before) = self.interfaces.note(interface, here) {
                report.push(Problem {
                    severity: Severity::Error,
                    message: format!("interface `{interface}` is in two VPNs"),
                    places: vec![
                        (here.clone(), "again here".into()),
                        (before, "first here".into()),
                    ],
                    help: None,
                });
            }
        }
        let Some(id) = id.and_then(InstanceId::new) else { return };
        if let Some((before, other)) = self.names.values().find(|(_, i)| i.id == id) {
            report.push(Problem {
                severity: Severity::Error,
                message: format!("`{name}` and `{}` are both instance {id}", other.name),
                places: vec![(place, "this one".into()), (before.clone(), "and this".into())],
                help: None,
            });
            return;
        }
        let interfaces = interfaces.into_iter().map(|(interface, _)| interface).collect();
        let instance = Instance { id, name: name.to_owned(), interfaces };
        self.names.insert(name.to_owned(), (place, instance));
    }

    /// The instance people call `name`.
    pub(super) fn by_name(
        &self,
        name: &str,
        place: &Place,
        report: &mut Report,
    ) -> Option<InstanceId> {
        if let Some((_, instance)) = self.names.get(name) {
            return Some(instance.id);
        }
        let help = nearest(name, self.names.keys().map(String::as_str))
            .map_or_else(|| format!("add [vpn.{name}]"), |n| format!("did you mean `{n}`?"));
        report.error_with_help(place, format!("no vpn is called `{name}`"), "", Some(help));
        None
    }

    /// Notes that something is in `instance`, so that it is served even without a `[vpn]`.
    pub(super) fn note(&mut self, instance: InstanceId) {
        self.numbered.insert(instance);
    }

    /// The host-facing interfaces that are named.
    pub(super) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// All instances, the default one first.
    pub(super) fn into_resolved(self) -> Vec<Instance> {
        let mut all: BTreeMap<InstanceId, Instance> = self
            .numbered
            .into_iter()
            .chain([InstanceId::DEFAULT])
            .map(|id| {
                let default = id == InstanceId::DEFAULT;
                let name = if default { "default".to_owned() } else { id.to_string() };
                (id, Instance { id, name, interfaces: Vec::new() })
            })
            .collect();
        all.extend(self.names.into_values().map(|(_, instance)| (instance.id, instance)));
        all.into_values().collect()
    }
}
