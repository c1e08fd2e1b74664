//! The interfaces the program runs on, and what it does there.

use std::collections::{BTreeMap, BTreeSet};

use aya::programs::tc::SchedClassifierLink;
use weft_packet::addr::InstanceId;

use super::attach::{Hook, Ingress};
use super::attached::{Attached, Unserved};
use super::instances::Instances;
use super::load::Loaded;
use super::pins::Pins;
use super::probe::sentence;
use super::{Port, layout};

/// What is wanted of each interface, and where the program is attached.
pub(super) struct Ports {
    hook: Hook,
    wanted: BTreeMap<u32, Port>,
    written: BTreeMap<u32, layout::Port>,
    attached: Attached<SchedClassifierLink>,
}

impl Ports {
    pub(super) fn new(hook: Hook, pins: Option<Pins>) -> Self {
        let (wanted, written) = Default::default();
        Self { hook, wanted, written, attached: Attached::new(pins) }
    }

    /// Replaces what is wanted, to be carried out by [`Ports::write`] and [`Ports::attach`].
    pub(super) fn set(&mut self, ports: &[Port]) {
        self.wanted = ports.iter().map(|port| (port.interface, *port)).collect();
    }

    /// Tells the program what to do with packets of each interface.
    pub(super) fn write(&mut self, loaded: &mut Loaded, instances: &Instances) -> Unserved {
        let records =
            self.wanted.iter().map(|(interface, port)| (*interface, record(port, instances)));
        let records: BTreeMap<_, _> = records.collect();
        let gone = self.written.keys().filter(|interface| !records.contains_key(interface));
        let changed = records
            .iter()
            .filter(|(interface, record)| self.written.get(interface) != Some(record));
        let changes = changed.map(|(interface, record)| (*interface, Some(*record)));
        let changes: Vec<_> = gone.map(|interface| (*interface, None)).chain(changes).collect();
        let mut unserved = Unserved::new();
        for (interface, record) in changes {
            match (loaded.set_port(interface, record), record) {
                (Ok(()), Some(record)) => {
                    self.written.insert(interface, record);
                }
                (Ok(()), None) => {
                    self.written.remove(&interface);
                }
                (Err(error), _) => unserved.push((interface, sentence(&error))),
            }
        }
        unserved
    }

    /// Attaches the program to all interfaces that want it and to no others. Links that an
    /// earlier process left are taken over, or removed.
    pub(super) fn attach(&mut self, loaded: &mut Loaded) -> Unserved {
        let wants = |port: &Port| port.encapsulate || port.decapsulate;
        let wanted = self.wanted.iter().filter(|(_, port)| wants(port));
        let wanted: BTreeSet<_> = wanted.map(|(interface, _)| *interface).collect();
        match ingress(loaded, self.hook) {
            Ok(mut program) => self.attached.follow(&mut program, &wanted),
            Err(error) => wanted.into_iter().map(|port| (port, error.clone())).collect(),
        }
    }

    /// Gives every interface another program, each in one step. Where that fails the program is
    /// attached anew.
    pub(super) fn swap(&mut self, loaded: &mut Loaded) -> Unserved {
        if let Ok(mut program) = ingress(loaded, self.hook) {
            self.attached.swap(&mut program);
        }
        self.attach(loaded)
    }

    /// Takes the program off all interfaces.
    pub(super) fn detach(&mut self) {
        self.attached.detach();
    }

    /// Lets go of the interfaces and leaves the program on them; false when links do not outlive
    /// the process.
    pub(super) fn leave(&mut self) -> bool {
        self.hook == Hook::Tcx && self.attached.leave()
    }

    /// All of it is to be written again, to other maps.
    pub(super) fn forget_written(&mut self) {
        self.written.clear();
    }
}

/// The program on its way to interfaces; what is wrong otherwise.
fn ingress(loaded: &mut Loaded, hook: Hook) -> Result<Ingress<'_>, String> {
    let program = loaded.program().map_err(|error| sentence(&error))?;
    Ok(Ingress { program, hook })
}

fn record(port: &Port, instances: &Instances) -> layout::Port {
    let id = port.instance.unwrap_or(InstanceId::DEFAULT);
    let instance = instances.index(id);
    let flag = |on: bool, flag| if on { flag } else { 0 };
    layout::Port {
        ifindex: port.interface,
        instance: instance.unwrap_or_default(),
        flags: flag(port.encapsulate && instance.is_some(), layout::Port::ENCAP)
            | flag(port.decapsulate, layout::Port::DECAP)
            | flag(port.peer, layout::Port::PEER),
        id: id.get(),
    }
}
