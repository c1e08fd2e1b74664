//! Where the program runs: the ingress of interfaces.
//!
//! From Linux 6.6 on a program is attached by a tcx link, next to programs of others, which all
//! see the packets ours leaves alone; a link can be pinned, and given another program in one step.
//! Older kernels have filters of the clsact queueing discipline, which can do all that but
//! outlive us.

use std::io;

use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use aya::sys::SyscallError;
use nix::net::if_::if_indextoname;

use super::load::PROGRAM;
use super::pins::Pins;
use super::probe::{Refusal, sentence};

/// How this kernel attaches programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Tcx,
    Clsact,
}

impl Hook {
    /// Finds out by attaching a program that is loaded, for a moment, to the loopback interface,
    /// whose packets it leaves alone.
    pub(super) fn find(program: &mut SchedClassifier) -> Result<Self, Refusal> {
        const LOOPBACK: u32 = 1;
        match Self::Tcx.attach(program, LOOPBACK) {
            Ok(_attached_until_here) => Ok(Self::Tcx),
            Err(ProgramError::SyscallError(SyscallError { io_error, .. })) => {
                match (Refusal::of_system(&io_error), io_error.raw_os_error()) {
                    (Some(refusal), _) => Err(refusal),
                    // An attach type that the kernel does not know.
                    (None, Some(libc::EINVAL | libc::EOPNOTSUPP)) => Ok(Self::Clsact),
                    (None, _) => Err(Refusal::NoHook(sentence(&io_error))),
                }
            }
            Err(error) => Err(Refusal::NoHook(sentence(&error))),
        }
    }

    fn attach(
        self,
        program: &mut SchedClassifier,
        interface: u32,
    ) -> Result<SchedClassifierLink, ProgramError> {
        let name = if_indextoname(interface).map_err(io::Error::from)?;
        let name = name.to_str().map_err(io::Error::other)?;
        let options = match self {
            Self::Tcx => TcAttachOptions::TcxOrder(LinkOrder::last()),
            Self::Clsact => {
                // It may be there, and so may a filter that an earlier process had no time to
                // remove. What matters of their absence is said by the next step.
                let _ = tc::qdisc_add_clsact(name);
                let _ = tc::qdisc_detach_program(name, TcAttachType::Ingress, PROGRAM);
                TcAttachOptions::Netlink(NlOptions::default())
            }
        };
        let id = program.attach_with_options(name, TcAttachType::Ingress, options)?;
        program.take_link(id)
    }
}

/// The program on an interface. Dropping it detaches the program, unless the link is pinned.
pub(super) struct Attachment {
    interface: u32,
    link: SchedClassifierLink,
}

impl Attachment {
    /// Puts the program on an interface: in the place of the one an earlier process left there, or
    /// behind the programs of others.
    pub(super) fn new(
        program: &mut SchedClassifier,
        interface: u32,
        hook: Hook,
        pins: Option<&Pins>,
    ) -> Result<Self, ProgramError> {
        if let Some(pins) = pins {
            if let Some(link) = pins.find(interface) {
                match SchedClassifierLink::try_from(link).map(|link| swap(program, link)) {
                    Ok(Ok(link)) => return Ok(Self { interface, link }),
                    // Its interface is gone, and another has the number now.
                    Ok(Err(error)) => tracing::debug!(interface, %error, "a pinned link is dead"),
                    Err(error) => tracing::debug!(interface, %error, "not a link of ours"),
                }
            }
            pins.remove(interface);
        }
        let link = hook.attach(program, interface)?;
        match pins {
            Some(pins) if hook == Hook::Tcx => Self::pinned(program, interface, link, pins),
            _ => Ok(Self { interface, link }),
        }
    }

    /// Pins a new link. One that cannot be pinned serves as long as the process lives.
    fn pinned(
        program: &mut SchedClassifier,
        interface: u32,
        link: SchedClassifierLink,
        pins: &Pins,
    ) -> Result<Self, ProgramError> {
        let pinned = FdLink::try_from(link)
            .map_err(|error| sentence(&error))
            .and_then(|link| pins.add(interface, link).map_err(|error| sentence(&error)))
            .and_then(|link| link.try_into().map_err(|error| sentence(&error)));
        let link = match pinned {
            Ok(link) => link,
            Err(error) => {
                tracing::warn!(interface, error, "a link cannot be pinned");
                Hook::Tcx.attach(program, interface)?
            }
        };
        Ok(Self { interface, link })
    }

    /// Gives the interface another program; there is no moment without one.
    pub(super) fn swap(self, program: &mut SchedClassifier) -> Result<Self, ProgramError> {
        Ok(Self { interface: self.interface, link: swap(program, self.link)? })
    }

    /// Takes the program off the interface.
    pub(super) fn detach(self, pins: Option<&Pins>) {
        if let Some(pins) = pins {
            pins.remove(self.interface);
        }
        drop(self.link);
    }
}

/// Puts a program in the place of a link's own.
fn swap(
    program: &mut SchedClassifier,
    link: SchedClassifierLink,
) -> Result<SchedClassifierLink, ProgramError> {
    let id = program.attach_to_link(link)?;
    program.take_link(id)
}

#[cfg(test)]
mod tests {
    use nix::sched::{CloneFlags, unshare};

    use super::super::LEAST;
    use super::super::load::Loaded;
    use super::*;

    /// Runs `test` with a loaded program in a network namespace of its own, where that is allowed.
    fn with_program(test: impl FnOnce(&mut SchedClassifier) + Send + 'static) {
        let run = move || {
            let loaded = Loaded::new(&LEAST);
            match (loaded, unshare(CloneFlags::CLONE_NEWNET)) {
                (Ok((mut loaded, _)), Ok(())) => test(loaded.program().unwrap()),
                (Err(refusal), _) => println!("skipped: {refusal}"),
                (_, Err(error)) => println!("skipped: {error}"),
            }
        };
        std::thread::spawn(run).join().unwrap();
    }

    #[test]
    fn the_hook_of_this_kernel_is_found() {
        with_program(|program| {
            let hook = Hook::find(program).unwrap();
            let attachment = Attachment::new(program, 1, hook, None).unwrap();
            attachment.swap(program).unwrap().detach(None);
        });
    }

    #[test]
    fn filters_of_the_queueing_discipline_do_too() {
        with_program(|program| {
            let attachment = Attachment::new(program, 1, Hook::Clsact, None).unwrap();
            let attachment = attachment.swap(program).unwrap();
            // What a process that was killed left behind is replaced.
            std::mem::forget(attachment);
            Attachment::new(program, 1, Hook::Clsact, None).unwrap().detach(None);
            let left = tc::qdisc_detach_program("lo", TcAttachType::Ingress, PROGRAM);
            assert!(left.is_err(), "none is left to be detached");
        });
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        with_program(|program| {
            assert!(Attachment::new(program, 4711, Hook::Tcx, None).is_err());
        });
    }
}
