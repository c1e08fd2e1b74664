//! How tables reach the data planes: two copies, of which readers use one while the other is
//! changed, then they swap. Readers never wait and never see half a batch; a change costs the
//! same however many entries there are.

use std::ops::Deref;

use left_right::{Absorb, ReadGuard, ReadHandle, WriteHandle};

use crate::tables::{Operation, Tables};

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
    handle: WriteHandle<Tables, Operation>,
    pending: bool,
}

impl Publisher {
    pub(crate) fn new() -> (Self, Reader) {
        let (handle, reader) = left_right::new();
        (Self { handle, pending: false }, Reader(reader))
    }

    /// Adds a change to the batch.
    pub(crate) fn add(&mut self, operation: Operation) {
        self.handle.append(operation);
        self.pending = true;
    }

    /// Shows the batch to all readers. Waits until no reader uses the tables of the publication
    /// before the last.
    pub(crate) fn publish(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.handle.publish();
        }
    }

    /// The tables as they are published now.
    pub(crate) fn enter(&self) -> Option<Snapshot<'_>> {
        self.handle.enter().map(Snapshot)
    }
}

impl Absorb<Operation> for Tables {
    fn absorb_first(&mut self, operation: &mut Operation, _: &Self) {
        self.apply(operation.clone());
    }

    fn absorb_second(&mut self, operation: Operation, _: &Self) {
        self.apply(operation);
    }

    fn sync_with(&mut self, first: &Self) {
        self.clone_from(first);
    }
}
