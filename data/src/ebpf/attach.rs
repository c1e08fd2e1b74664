//! How a program gets on an interface, and from there into the hands of the next process.
//!
//! From Linux 6.6 on the main program is attached to the ingress by a tcx link, next to programs of
//! others, which all see the packets ours leaves alone; a link can be pinned, and given another
//! program in one step. Older kernels have filters of the clsact queueing discipline, which can do
//! all that but outlive us. A program at the card itself (XDP) is the only one there.

use std::error::Error;
use std::io;

use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType, Xdp};
use aya::sys::SyscallError;
use nix::net::if_::if_indextoname;

use super::load::PROGRAM;
use super::pins::Pins;
use super::probe::{Refusal, sentence};

/// What keeps a program on an interface, and can be pinned as what the kernel says it is.
pub(super) trait Pinnable: Sized {
    fn from_kernel(link: FdLink) -> Result<Self, String>;
    fn into_kernel(self) -> Result<FdLink, String>;
}

impl<Link> Pinnable for Link
where
    Link: TryFrom<FdLink, Error: Error> + TryInto<FdLink, Error: Error>,
{
    fn from_kernel(link: FdLink) -> Result<Self, String> {
        link.try_into().map_err(|error: <Link as TryFrom<FdLink>>::Error| sentence(&error))
    }

    fn into_kernel(self) -> Result<FdLink, String> {
        self.try_into().map_err(|error: <Link as TryInto<FdLink>>::Error| sentence(&error))
    }
}

/// A program that can be put on interfaces.
pub(super) trait Attach {
    /// What keeps it there.
    type Link: Pinnable;

    /// Puts it on an interface.
    fn attach(&mut self, interface: u32) -> Result<Self::Link, ProgramError>;

    /// Puts it in the place of a link's own program, in one step.
    fn swap(&mut self, link: Self::Link) -> Result<Self::Link, ProgramError>;

    /// Whether its links can be pinned.
    fn lasts(&self) -> bool;

    /// Why it is not on an interface.
    fn explain(error: &ProgramError) -> String {
        sentence(error)
    }
}

/// How this kernel attaches programs to the ingress.
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
        match (Ingress { program, hook: Self::Tcx }).attach(LOOPBACK) {
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
}

/// The main program, on its way to the ingress.
pub(super) struct Ingress<'a> {
    pub(super) program: &'a mut SchedClassifier,
    pub(super) hook: Hook,
}

impl Attach for Ingress<'_> {
    type Link = SchedClassifierLink;

    /// Puts it behind the programs of others.
    fn attach(&mut self, interface: u32) -> Result<SchedClassifierLink, ProgramError> {
        let name = if_indextoname(interface).map_err(io::Error::from)?;
        let name = name.to_str().map_err(io::Error::other)?;
        let options = match self.hook {
            Hook::Tcx => TcAttachOptions::TcxOrder(LinkOrder::last()),
            Hook::Clsact => {
                // It may be there, and so may a filter that an earlier process had no time to
                // remove. What matters of their absence is said by the next step.
                let _ = tc::qdisc_add_clsact(name);
                let _ = tc::qdisc_detach_program(name, TcAttachType::Ingress, PROGRAM);
                TcAttachOptions::Netlink(NlOptions::default())
            }
        };
        let id = self.program.attach_with_options(name, TcAttachType::Ingress, options)?;
        self.program.take_link(id)
    }

    fn swap(&mut self, link: SchedClassifierLink) -> Result<SchedClassifierLink, ProgramError> {
        let id = self.program.attach_to_link(link)?;
        self.program.take_link(id)
    }

    fn lasts(&self) -> bool {
        self.hook == Hook::Tcx
    }
}

impl Attach for &mut Xdp {
    type Link = XdpLink;

    /// By the driver or not at all: what the kernel does in its place comes after receive offload.
    fn attach(&mut self, interface: u32) -> Result<XdpLink, ProgramError> {
        let id = self.attach_to_if_index(interface, XdpMode::Driver)?;
        self.take_link(id)
    }

    fn swap(&mut self, link: XdpLink) -> Result<XdpLink, ProgramError> {
        let id = self.attach_to_link(link)?;
        self.take_link(id)
    }

    fn lasts(&self) -> bool {
        true
    }

    fn explain(error: &ProgramError) -> String {
        let number = match error {
            ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
            _ => None,
        };
        match number {
            Some(libc::EOPNOTSUPP) => "its driver takes no XDP program".to_owned(),
            Some(libc::EBUSY | libc::EEXIST) => "another XDP program is there".to_owned(),
            _ => sentence(error),
        }
    }
}

/// A program on an interface. Dropping it detaches the program, unless the link is pinned.
pub(super) struct Attachment<Link> {
    interface: u32,
    link: Link,
}

impl<Link: Pinnable> Attachment<Link> {
    /// Puts a program on an interface, in the place of the one an earlier process left there.
    pub(super) fn new(
        program: &mut impl Attach<Link = Link>,
        interface: u32,
        pins: Option<&Pins>,
    ) -> Result<Self, ProgramError> {
        if let Some(pins) = pins {
            if let Some(link) = pins.find(interface) {
                match Link::from_kernel(link).map(|link| program.swap(link)) {
                    Ok(Ok(link)) => return Ok(Self { interface, link }),
                    // Its interface is gone, and another has the number now.
                    Ok(Err(error)) => tracing::debug!(interface, %error, "a pinned link is dead"),
                    Err(error) => tracing::debug!(interface, %error, "not a link of ours"),
                }
            }
            pins.remove(interface);
        }
        let link = program.attach(interface)?;
        match pins {
            Some(pins) if program.lasts() => Self::pinned(program, interface, link, pins),
            _ => Ok(Self { interface, link }),
        }
    }

    /// Pins a new link. One that cannot be pinned serves as long as the process lives.
    fn pinned(
        program: &mut impl Attach<Link = Link>,
        interface: u32,
        link: Link,
        pins: &Pins,
    ) -> Result<Self, ProgramError> {
        let pinned = link
            .into_kernel()
            .and_then(|link| pins.add(interface, link).map_err(|error| sentence(&error)))
            .and_then(Link::from_kernel);
        let link = match pinned {
            Ok(link) => link,
            Err(error) => {
                tracing::warn!(interface, error, "a link cannot be pinned");
                program.attach(interface)?
            }
        };
        Ok(Self { interface, link })
    }

    /// Gives the interface another program; there is no moment without one.
    pub(super) fn swap(self, program: &mut impl Attach<Link = Link>) -> Result<Self, ProgramError> {
        Ok(Self { interface: self.interface, link: program.swap(self.link)? })
    }
}

impl<Link> Attachment<Link> {
    /// Takes the program off the interface.
    pub(super) fn detach(self, pins: Option<&Pins>) {
        if let Some(pins) = pins {
            pins.remove(self.interface);
        }
        drop(self.link);
    }
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
            let mut ingress = Ingress { program, hook };
            let attachment = Attachment::new(&mut ingress, 1, None).unwrap();
            attachment.swap(&mut ingress).unwrap().detach(None);
        });
    }

    #[test]
    fn filters_of_the_queueing_discipline_do_too() {
        with_program(|program| {
            let mut ingress = Ingress { program, hook: Hook::Clsact };
            let attachment = Attachment::new(&mut ingress, 1, None).unwrap();
            let attachment = attachment.swap(&mut ingress).unwrap();
            // What a process that was killed left behind is replaced.
            std::mem::forget(attachment);
            Attachment::new(&mut ingress, 1, None).unwrap().detach(None);
            let left = tc::qdisc_detach_program("lo", TcAttachType::Ingress, PROGRAM);
            assert!(left.is_err(), "none is left to be detached");
        });
    }

    #[test]
    fn an_interface_that_does_not_exist_is_an_error() {
        with_program(|program| {
            let mut ingress = Ingress { program, hook: Hook::Tcx };
            assert!(Attachment::new(&mut ingress, 4711, None).is_err());
        });
    }
}
