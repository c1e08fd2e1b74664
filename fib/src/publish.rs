//! How tables reach the data planes: two copies, of which readers use one while the other is
//! changed, then they swap. Readers never wait and never see half a batch; a change costs the
//! same however many entries there are.

use std::ops::Deref;

use left_right::{Absorb, ReadGuard, ReadHandle, WriteHandle};

use crate::tables::Tables;
use crate::update::{Record, Update};

/// A data plane's access to the published tables. Each thread clones its own.
#[derive(Clone)]
pub struct Reader(ReadHandle<Tables>);

impl Reader {
    /// The tables as they are published now; they stay so while the snapshot lives. Take one for
    /// each batch of packets and never keep it while blocked: publication waits for it. `None`
    /// only after the [`Fib`](crate::Fib) is gone.
    pub fn enter(&self) -> Option<Snapshot<'_>> {
        self.0.enter().map(Snapshot)
    }
}

/// The published tables of one moment.
pub struct Snapshot<'a>(ReadGuard<'a, Tables>);

impl Deref for Snapshot<'_> {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.0
    }
}

/// The writing end.
pub(crate) struct Publisher {
    handle: WriteHandle<Tables, Update>,
    pending: bool,
    /// For whoever watches, if anybody does.
    record: Option<Record>,
}

impl Publisher {
    pub(crate) fn new() -> (Self, Reader) {
        let (handle, reader) = left_right::new();
        (Self { handle, pending: false, record: None }, Reader(reader))
    }

    /// Adds a change to the batch.
    pub(crate) fn add(&mut self, update: Update) {
        if let Some(record) = &mut self.record {
            record.add(update.clone());
        }
        self.handle.append(update);
        self.pending = true;
    }

    /// Shows the batch to all readers. Waits until no reader uses the tables of the publication
    /// before the last.
    pub(crate) fn publish(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.handle.publish();
            if let Some(record) = &mut self.record {
                record.publish();
            }
        }
    }

    /// Switches the recording of updates on or off; what waits is kept or dropped.
    pub(crate) fn watch(&mut self, on: bool) {
        self.record = on.then(|| self.record.take().unwrap_or_default());
    }

    /// The updates published since they were last taken.
    pub(crate) fn take_updates(&mut self) -> Vec<Update> {
        self.record.as_mut().map(Record::take).unwrap_or_default()
    }

    /// The tables as they are published now.
    pub(crate) fn enter(&self) -> Option<Snapshot<'_>> {
        self.handle.enter().map(Snapshot)
    }
}

impl Absorb<Update> for Tables {
    fn absorb_first(&mut self, update: &mut Update, _: &Self) {
        self.apply(update.clone());
    }

    fn absorb_second(&mut self, update: Update, _: &Self) {
        self.apply(update);
    }

    fn sync_with(&mut self, first: &Self) {
        self.clone_from(first);
    }
}
