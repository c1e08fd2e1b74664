//! The interfaces that a program is on.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use super::attach::{Attach, Attachment, Pinnable};
use super::pins::Pins;

/// Interfaces that are not served, with reasons.
pub(super) type Unserved = Vec<(u32, String)>;

/// A program on interfaces. Dropping it takes the program off them.
pub(super) struct Attached<Link> {
    pins: Option<Pins>,
    on: BTreeMap<u32, Attachment<Link>>,
}

impl<Link: Pinnable> Attached<Link> {
    /// On none yet. What an earlier process pinned is taken over, or removed, by
    /// [`Attached::follow`].
    pub(super) fn new(pins: Option<Pins>) -> Self {
        Self { pins, on: BTreeMap::new() }
    }

    /// Puts the program on these interfaces, and takes it off all others.
    pub(super) fn follow<P: Attach<Link = Link>>(
        &mut self,
        program: &mut P,
        wanted: &BTreeSet<u32>,
    ) -> Unserved {
        self.retain(wanted);
        let mut unserved = Unserved::new();
        for &interface in wanted {
            let Entry::Vacant(place) = self.on.entry(interface) else { continue };
            match Attachment::new(program, interface, self.pins.as_ref()) {
                Ok(attachment) => {
                    place.insert(attachment);
                }
                Err(error) => unserved.push((interface, P::explain(&error))),
            }
        }
        unserved
    }

    /// Takes the program off all but these interfaces, whoever put it there.
    pub(super) fn retain(&mut self, wanted: &BTreeSet<u32>) {
        let gone = self.on.extract_if(.., |interface, _| !wanted.contains(interface));
        gone.for_each(|(_, attachment)| attachment.detach(self.pins.as_ref()));
        if let Some(pins) = &self.pins {
            let left = pins.interfaces().into_iter();
            left.filter(|interface| !wanted.contains(interface)).for_each(|i| pins.remove(i));
        }
    }

    /// Gives every interface another program, each in one step. Those where that fails have none.
    pub(super) fn swap(&mut self, program: &mut impl Attach<Link = Link>) {
        for (interface, attachment) in mem::take(&mut self.on) {
            match attachment.swap(program) {
                Ok(attachment) => {
                    self.on.insert(interface, attachment);
                }
                Err(error) => {
                    tracing::debug!(interface, %error, "an interface cannot change its program");
                }
            }
        }
    }

    /// Lets go of the interfaces and leaves the program on them, if its links are pinned.
    pub(super) fn leave(&mut self) -> bool {
        let pinned = self.pins.is_some();
        if pinned {
            self.on.clear();
        }
        pinned
    }
}

impl<Link> Attached<Link> {
    /// Takes the program off all interfaces.
    pub(super) fn detach(&mut self) {
        for attachment in mem::take(&mut self.on).into_values() {
            attachment.detach(self.pins.as_ref());
        }
    }
}

impl<Link> Drop for Attached<Link> {
    fn drop(&mut self) {
        self.detach();
    }
}
