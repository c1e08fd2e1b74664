//! How other threads speak to a worker: a list of commands and an event that wakes it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};
use weft_packet::addr::{EidPrefix, InstanceId};

use super::device::Queue;
use super::options::Options;

/// Something a worker is told to do.
pub(super) enum Command {
    /// Behave so from now on.
    Options(Arc<Options>),
    /// Serve this queue of an instance's device.
    AddDevice(InstanceId, Queue),
    /// Close the device of an instance. Dropping the sender says that it is done.
    RemoveDevice(InstanceId, Sender<()>),
    /// Look up the held packets of these EIDs again.
    Release(EidPrefix),
    /// End, and leave the devices or take them away.
    Stop { devices_stay: bool },
}

/// Commands a worker has not seen yet.
pub(super) struct Mailbox {
    commands: Mutex<Vec<Command>>,
    event: EventFd,
}

impl Mailbox {
    pub(super) fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self { commands: Mutex::default(), event: EventFd::from_flags(flags)? })
    }

    /// Leaves a command and wakes the worker.
    pub(super) fn put(&self, command: Command) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.push(command);
        drop(commands);
        // The only failure is a counter at its limit, and then the event is set already.
        let _ = self.event.write(1);
    }

    /// Takes every command, in order.
    pub(super) fn take(&self) -> Vec<Command> {
        let _ = self.event.read();
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *commands)
    }
}

impl AsFd for Mailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
