//! Which instances the program knows, and the places they have in its map.

use std::collections::BTreeMap;

use aya::maps::MapError;
use weft_packet::addr::InstanceId;

use super::load::Loaded;
use super::trie::Start;
use super::{Instance, layout};

/// The instances by number, each with its place.
#[derive(Default)]
pub(super) struct Instances {
    known: BTreeMap<InstanceId, Known>,
    /// Where the search for a free place begins: one that became free is used again last, for
    /// packets on their way may still be looked up by it.
    next: u32,
}

struct Known {
    index: u32,
    instance: Instance,
    written: layout::Instance,
}

impl Instances {
    /// The place of an instance.
    pub(super) fn index(&self, id: InstanceId) -> Option<u32> {
        self.known.get(&id).map(|known| known.index)
    }

    /// Replaces the set of instances.
    pub(super) fn set(
        &mut self,
        instances: &[Instance],
        loaded: &mut Loaded,
    ) -> Result<(), MapError> {
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|id| !instances.iter().any(|instance| instance.id == **id))
            .copied()
            .collect();
        for id in gone {
            if let Some(known) = self.known.remove(&id) {
                loaded.clear_instance(known.index, id.get())?;
            }
        }
        for &instance in instances {
            if let Some(known) = self.known.get_mut(&instance.id) {
                known.instance = instance;
            } else if let Some(index) = self.free_index() {
                let written = layout::Instance::default();
                self.known.insert(instance.id, Known { index, instance, written });
            } else {
                tracing::warn!(instance = %instance.id, "no more instances fit into the program");
            }
        }
        Ok(())
    }

    /// Writes what is not written yet. `roots` gives the tries of an instance.
    pub(super) fn write(
        &mut self,
        loaded: &mut Loaded,
        starts: impl Fn(InstanceId) -> [Start; 2],
    ) -> Result<(), MapError> {
        for (id, known) in &mut self.known {
            let record = record(&known.instance, starts(*id));
            if record != known.written {
                loaded.set_instance(known.index, record)?;
                known.written = record;
            }
        }
        Ok(())
    }

    /// All of it is to be written again, to other maps.
    pub(super) fn forget_written(&mut self) {
        self.known.values_mut().for_each(|known| known.written = layout::Instance::default());
    }

    fn free_index(&mut self) -> Option<u32> {
        let taken = |index| self.known.values().any(|known| known.index == index);
        let index = (0..MOST).map(|step| (self.next + step) % MOST).find(|index| !taken(*index))?;
        self.next = index + 1;
        Some(index)
    }
}

fn record(instance: &Instance, [v4, v6]: [Start; 2]) -> layout::Instance {
    let any_source = if instance.any_source { layout::Instance::ANY_SOURCE } else { 0 };
    layout::Instance {
        id: instance.id.get(),
        root4: v4.root,
        root6: v6.root,
        device: instance.device,
        flags: layout::Instance::USED | any_source,
        wide4: v4.wide,
        scopes4: v4.scopes,
        scopes6: v6.scopes,
    }
}

/// How many instances the map has places for.
const MOST: u32 = 1024;
