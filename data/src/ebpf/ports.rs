//! The interfaces the program runs on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use weft_packet::addr::InstanceId;

use super::attach::{Attachment, Hook};
use super::instances::Instances;
use super::load::Loaded;
use super::pins::Pins;
use super::probe::sentence;
use super::{Port, layout};

/// What is wanted of each interface, and where the program is attached.
pub(super) struct Ports {
    hook: Hook,
    pins: Option<Pins>,
    wanted: BTreeMap<u32, Port>,
    written: BTreeMap<u32, layout::Port>,
    attached: BTreeMap<u32, Attachment>,
}

/// Interfaces that are not served, with reasons.
pub(super) type Unserved = Vec<(u32, String)>;

impl Ports {
    pub(super) fn new(hook: Hook, pins: Option<Pins>) -> Self {
        let (wanted, written, attached) = Default::default();
        Self { hook, pins, wanted, written, attached }
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
        let unwanted = |interface: &u32, wanted: &BTreeMap<u32, Port>| {
            !wanted.get(interface).is_some_and(wants)
        };
        let gone = self.attached.extract_if(.., |interface, _| unwanted(interface, &self.wanted));
        gone.for_each(|(_, attachment)| attachment.detach(self.pins.as_ref()));
        if let Some(pins) = &self.pins {
            let left = pins.interfaces().into_iter();
            left.filter(|interface| unwanted(interface, &self.wanted)).for_each(|i| pins.remove(i));
        }
        let mut unserved = Unserved::new();
        for &interface in self.wanted.iter().filter(|(_, port)| wants(port)).map(|(i, _)| i) {
            let Entry::Vacant(place) = self.attached.entry(interface) else { continue };
            let attachment = loaded.program().and_then(|program| {
                Attachment::new(program, interface, self.hook, self.pins.as_ref())
            });
            match attachment {
                Ok(attachment) => {
                    place.insert(attachment);
                }
                Err(error) => unserved.push((interface, sentence(&error))),
            }
        }
        unserved
    }

    /// Gives every interface another program, each in one step. Where that fails the program is
    /// attached anew.
    pub(super) fn swap(&mut self, loaded: &mut Loaded) -> Unserved {
        for (interface, attachment) in std::mem::take(&mut self.attached) {
            match loaded.program().and_then(|program| attachment.swap(program)) {
                Ok(attachment) => {
                    self.attached.insert(interface, attachment);
                }
                Err(error) => {
                    tracing::debug!(interface, %error, "an interface cannot change its program");
                }
            }
        }
        self.attach(loaded)
    }

    /// Takes the program off all interfaces.
    pub(super) fn detach(&mut self) {
        for attachment in std::mem::take(&mut self.attached).into_values() {
            attachment.detach(self.pins.as_ref());
        }
    }

    /// Lets go of the interfaces and leaves the program on them; false when links do not outlive
    /// the process.
    pub(super) fn leave(&mut self) -> bool {
        let lasting = self.pins.is_some() && self.hook == Hook::Tcx;
        if lasting {
            self.attached.clear();
        }
        lasting
    }

    /// All of it is to be written again, to other maps.
    pub(super) fn forget_written(&mut self) {
        self.written.clear();
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        self.detach();
    }
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
